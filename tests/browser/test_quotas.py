"""The meter, warnings, refusals and the waiting line, as the page shows them."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenWindow
from tests.operating import override
from tests.servers import ServerProcess

pytestmark = pytest.mark.browser


def test_the_meter_follows_a_changed_limit_without_reloading(
    open_window: OpenWindow, server: ServerProcess
) -> None:
    chat = open_window()
    chat.sign_in("carol")
    meter = chat.page.locator("#quotas")
    expect(meter.get_by_text("of 10", exact=False)).to_be_visible()
    expect(meter.get_by_text("Used up")).to_have_count(0)
    with override(server, "carol", "agent_runs", 0):
        expect(meter.get_by_text("of 0", exact=False)).to_be_visible()
        expect(meter.get_by_text("Used up, free again")).to_be_visible()
        chat.ask("What can you do?")
        problem = chat.page.locator("#composer-problem")
        expect(problem).to_contain_text("limit of 0 runs a day is used up")
        expect(chat.question).to_have_value("What can you do?")
    expect(meter.get_by_text("Used up")).to_have_count(0)


def test_all_limits_are_shown_on_demand(open_window: OpenWindow) -> None:
    chat = open_window()
    chat.sign_in("carol")
    chat.page.get_by_text("All limits").click()
    rows = chat.page.locator("#all-quotas")
    for label in ("Runs today", "Runs at once", "Tokens today", "Model cost this month", "Storage"):
        expect(rows.get_by_text(label, exact=True)).to_be_visible()
    expect(rows.get_by_text("Resets").first).to_be_visible()
    expect(chat.page.locator("#quotas")).to_be_hidden()


def test_a_question_in_line_says_so_and_is_answered_in_its_turn(
    open_window: OpenWindow, server: ServerProcess
) -> None:
    chat = open_window()
    chat.sign_in("carol")
    with override(server, "carol", "concurrent_runs", 0):
        chat.ask("What can you do?")
        expect(chat.page.get_by_text("Waiting, 1st in line")).to_be_visible()
    chat.expect_answer()
