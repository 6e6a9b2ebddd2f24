"""Answers on a phone: nothing is cut off, and what is out of sight is announced."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenWindow

pytestmark = pytest.mark.browser


def test_charts_shrink_and_wide_tables_say_that_there_is_more(
    open_window: OpenWindow, small_log: Path
) -> None:
    chat = open_window(viewport={"width": 375, "height": 760})
    chat.sign_in("alice")
    chat.upload(small_log, assume_model="gpt-4o")
    chat.ask("Where does our AI spend go, and how do we cut it?")
    answer = chat.expect_answer()
    for chart in answer.get_by_role("img").all():
        expect(chart).to_have_js_property("complete", True)
        box = chart.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["width"] > 200
        assert box["x"] + box["width"] <= 375

    wide = answer.locator(".table-frame.scrolls").first
    expect(wide).to_have_class("table-frame scrolls more-right")
    expect(wide.locator(".table-hint")).to_be_visible()
    wide.locator(".table-scroll").evaluate("node => (node.scrollLeft = node.scrollWidth)")
    expect(wide).to_have_class("table-frame scrolls more-left")
    expect(wide.locator(".table-hint")).to_be_hidden()
    assert chat.page.evaluate("document.querySelector('#transcript').scrollWidth") <= 375

    cards = answer.get_by_role("region", name="Recommendations").locator(".card")
    expect(cards.first.locator(".monthly")).to_contain_text("a month if every hour were like these")
    assert "." not in cards.first.locator(".monthly").inner_text()
