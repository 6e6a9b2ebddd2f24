"""From sign-in to a priced answer, in a real browser on a real server."""

import re
from decimal import Decimal
from pathlib import Path

import pytest
from genai_prices import Usage, calc_price
from playwright.sync_api import expect

from tests.browser.conftest import OpenWindow

pytestmark = pytest.mark.browser

QUESTION = "Where does our AI spend go, and how do we cut it?"
INPUT_TOKENS = sum(1000 + minute for minute in range(120))
OUTPUT_TOKENS = sum(100 + minute for minute in range(120))

KEEP_HEADLINES = """
window.headlines = [];
new MutationObserver(() => {
  const text = document.querySelector(".work .headline")?.textContent;
  if (text && window.headlines.at(-1) !== text) window.headlines.push(text);
}).observe(document, { childList: true, subtree: true, characterData: true });
"""


def list_price() -> str:
    """Return what the small log costs at gpt-4o's list price, as genai-prices adds it up."""
    total = Decimal(0)
    for minute in range(120):
        usage = Usage(input_tokens=1000 + minute, output_tokens=100 + minute)
        total += calc_price(usage, "gpt-4o", provider_id="openai").total_price
    return f"${total:.2f}"


def test_a_log_is_uploaded_and_the_answer_is_worked_out_before_the_users_eyes(
    open_window: OpenWindow, small_log: Path
) -> None:
    chat = open_window()
    chat.page.add_init_script(KEEP_HEADLINES)
    chat.sign_in("alice")
    chat.upload(small_log, assume_model="gpt-4o")
    chat.ask(QUESTION)
    answer = chat.expect_answer()

    text = answer.inner_text()
    assert f"{INPUT_TOKENS:,}" in text
    assert f"{OUTPUT_TOKENS:,}" in text
    assert list_price() in text
    expect(answer.get_by_role("table").first).to_be_visible()
    chart = answer.get_by_role("img").first
    expect(chart).to_have_attribute("src", re.compile(r"^/api/v1/charts/[0-9a-f-]{36}\.svg$"))
    chart.scroll_into_view_if_needed()
    # wait_for_function() would evaluate text in the page, which its security policy refuses.
    expect(chart).to_have_js_property("complete", True)
    assert chart.evaluate("image => image.naturalWidth") > 0

    cards = answer.get_by_role("region", name="Recommendations").locator(".card")
    assert cards.count() >= 1
    expect(cards.first).to_contain_text(re.compile(r"\$\d+\.\d\d"))
    expect(cards.first).to_contain_text(re.compile(r"Effort: (low|medium|high)"))
    cards.first.get_by_text("How this is computed").click()
    expect(cards.first.locator("pre")).to_be_visible()

    headlines = chat.page.evaluate("window.headlines")
    assert any("is working" in headline for headline in headlines), headlines
    assert any(": spend breakdown" in headline for headline in headlines), headlines
    assert headlines[-1].startswith("Worked with ")


def test_the_work_is_kept_and_can_be_opened_again(open_window: OpenWindow, small_log: Path) -> None:
    chat = open_window()
    chat.sign_in("alice")
    chat.upload(small_log, assume_model="gpt-4o")
    chat.ask(QUESTION)
    chat.expect_answer()
    chat.page.reload()
    answer = chat.expect_answer()
    answer.get_by_text("How this was worked out").click()
    for agent in ("Triage", "Data", "Optimization", "Actions", "Reporting"):
        expect(answer.locator(".agent-name", has_text=agent)).to_be_visible()
    tool = answer.locator(".tool", has_text="Spend breakdown").first
    expect(tool.locator(".time")).to_have_text(re.compile(r"^\d+\.\d+ s$"))
    tool.locator("summary").click()
    expect(tool.locator("pre").last).to_contain_text(str(INPUT_TOKENS))


def test_a_question_outlives_a_reload_of_the_page(open_window: OpenWindow, small_log: Path) -> None:
    chat = open_window()
    chat.sign_in("alice")
    chat.upload(small_log, assume_model="gpt-4o")
    chat.ask(QUESTION)
    chat.page.wait_for_url("**/#/threads/*")
    chat.page.reload()
    expect(chat.questions).to_have_text(QUESTION)
    assert list_price() in chat.expect_answer().inner_text()
    expect(chat.answers).to_have_count(1)


def test_the_keyboard_alone_is_enough(open_window: OpenWindow, small_log: Path) -> None:
    chat = open_window()
    page, keyboard = chat.page, chat.page.keyboard
    chat.sign_in("alice")
    expect(chat.question).to_be_focused()
    keyboard.press("Tab")
    add = page.get_by_role("form", name="Ask the agents").get_by_role("button", name="Add a log")
    expect(add).to_be_focused()
    with page.expect_file_chooser() as chooser:
        keyboard.press("Enter")
    chooser.value.set_files(small_log)
    expect(page.get_by_label("This log seems to name no model")).to_be_focused()
    keyboard.type("gpt-4o")
    keyboard.press("Enter")
    expect(chat.attachments).to_contain_text("120 requests, assumed gpt-4o")
    expect(chat.question).to_be_focused()
    keyboard.type("First line")
    keyboard.press("Shift+Enter")
    keyboard.type(QUESTION)
    keyboard.press("Enter")
    answer = chat.expect_answer()
    expect(chat.questions).to_have_text(f"First line\n{QUESTION}", use_inner_text=True)
    expect(chat.question).to_be_focused()

    fold = answer.locator(".work > summary")
    for _ in range(60):
        if fold.evaluate("node => node === document.activeElement"):
            break
        keyboard.press("Shift+Tab")
    expect(fold).to_be_focused()
    assert fold.evaluate("node => getComputedStyle(node).outlineStyle") != "none"
    keyboard.press("Enter")
    expect(answer.locator(".agent-name", has_text="Triage")).to_be_visible()
