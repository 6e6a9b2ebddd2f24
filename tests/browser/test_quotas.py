"""The meter, warnings, refusals and the waiting line, as the page shows them."""

import re
import time

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from tests.browser.conftest import OpenWindow
from tests.operating import override
from tests.servers import ServerProcess

pytestmark = pytest.mark.browser

PATIENCE_S = 15.0


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
    expect(problem).to_be_hidden()


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
        expect(chat.page.get_by_text("Waiting, next in line", exact=True)).to_be_visible()
    chat.expect_answer()


def test_a_warning_follows_the_figures_and_goes_once_it_is_untrue(
    open_window: OpenWindow, server: ServerProcess
) -> None:
    chat = open_window()
    chat.sign_in("carol")
    banner = chat.page.locator("#banner")
    meter = chat.page.locator("#quotas")
    chat.ask("What can you do?")
    chat.expect_answer()
    runs = meter.locator("div").filter(has_text="Runs today")
    expect(runs).to_contain_text(re.compile(r"[1-9]\d* of 10"))
    used = int(runs.locator("dd").first.inner_text().split()[0])
    with override(server, "carol", "agent_runs", used + 1):
        expect(runs).to_contain_text(f"{used} of {used + 1}")
        chat.ask("What else can you do?")
        expect(banner).to_contain_text(f"used up, {used + 1} of {used + 1}.")
        chat.expect_answer(1)
        with override(server, "carol", "agent_runs", used):
            expect(banner).to_contain_text(f"Runs today: used up, {used + 1} of {used}.")
    expect(meter.get_by_text("Used up")).to_have_count(0)
    expect(banner).to_be_hidden()


def test_the_words_about_a_run_under_way_go_when_it_ends(
    open_window: OpenWindow, server: ServerProcess
) -> None:
    chat = open_window()
    chat.sign_in("carol")
    problem = chat.page.locator("#composer-problem")
    with override(server, "carol", "concurrent_runs", 0):
        chat.ask("What can you do?")
        expect(chat.page.get_by_text("Waiting, next in line", exact=True)).to_be_visible()
        # Until it is sent and the list names it, Enter does nothing at all.
        expect(chat.page.locator("#thread-title")).to_have_text("What can you do?")
        chat.ask("And what else?")
        expect(problem).to_contain_text("still at work on your last question")
    chat.expect_answer()
    expect(problem).to_be_hidden()
    expect(chat.question).to_have_value("And what else?")


def windows_counted(page: Page, base_url: str) -> int:
    """Return how many open windows of whoever is signed in on `page` the server counts."""
    rows = page.request.get(f"{base_url}/api/v1/quotas").json()
    return next(
        int(row["used"] + row["reserved"]) for row in rows if row["resource"] == "websocket_connections"
    )


def test_the_open_window_itself_is_counted(open_window: OpenWindow) -> None:
    chat = open_window()
    chat.sign_in("carol")
    chat.page.goto("about:blank")
    deadline = time.monotonic() + PATIENCE_S
    while windows_counted(chat.page, chat.base_url) and time.monotonic() < deadline:
        chat.page.wait_for_timeout(100)
    held: list[WebSocketRoute] = []
    chat.page.route_web_socket("**/ws/chat/", lambda socket: held.append(socket))
    with chat.page.expect_response("**/api/v1/quotas"):
        chat.open()
    chat.page.get_by_text("All limits").click()
    windows = chat.page.locator("#all-quotas div").filter(has_text="Open windows")
    expect(windows).to_contain_text("0 of")
    held[-1].connect_to_server()
    chat.expect_connected()
    expect(windows).to_contain_text("1 of")
