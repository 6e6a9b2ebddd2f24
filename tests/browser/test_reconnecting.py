"""Connections that break, seem to stand, or are refused: the page comes back by itself, with everything."""

import json
import time

import pytest
from playwright.sync_api import Page, StorageState, WebSocketRoute, expect

from tests.browser.chat_page import expect_nothing_of_the_account
from tests.browser.conftest import OpenWindow
from tests.browser.run_events import ended_run, expect_shown, thread_of
from tests.operating import override
from tests.servers import ServerProcess

pytestmark = [pytest.mark.browser, pytest.mark.mission_critical("P1")]

# Shorter than a heartbeat and the patience with its answer: what only those would find is not found in time.
PATIENCE_S = 15.0


class Line:
    """The line between a page and the server; it can go dead without a word, or be closed."""

    def __init__(self, *, dead_after: str = "") -> None:
        """Go dead once a frame of type `dead_after` has passed, the first time."""
        self.sockets: list[WebSocketRoute] = []
        self.dead = 0
        """How many of the sockets, from the first on, nothing passes any more."""
        self._dead_after = dead_after

    def take(self, socket: WebSocketRoute) -> None:
        """Stand between a socket that the page opens and the server."""
        self.sockets.append(socket)
        server = socket.connect_to_server()
        position = len(self.sockets)

        def down(text: str | bytes) -> None:
            if position > self.dead:
                socket.send(text)
            if position == 1 and json.loads(text)["type"] == self._dead_after:
                self.go_dead()

        def up(text: str | bytes) -> None:
            if position > self.dead:
                server.send(text)

        server.on_message(down)
        socket.on_message(up)

    def go_dead(self) -> None:
        """Let nothing through any more; the next socket will be a good one."""
        self.dead = len(self.sockets)

    def close(self, code: int, reason: str = "") -> None:
        """Close the page's latest socket."""
        self.sockets[-1].close(code=code, reason=reason)

    def expect_sockets(self, page: Page, count: int) -> None:
        """Wait until the page has opened so many sockets."""
        give_up_at = time.monotonic() + PATIENCE_S
        while len(self.sockets) < count:
            assert time.monotonic() < give_up_at, f"{len(self.sockets)} sockets were opened"
            page.wait_for_timeout(20)


def test_a_break_in_the_middle_of_a_run_loses_and_doubles_nothing(
    open_window: OpenWindow, alices_cookies: StorageState, server: ServerProcess
) -> None:
    chat = open_window(storage_state=alices_cookies)
    line = Line(dead_after="tool_executing")
    chat.page.route_web_socket("**/ws/chat/", line.take)
    chat.open()
    chat.expect_connected()
    chat.ask("What can you do?")
    thread_id = thread_of(chat)
    expect(chat.page.locator(".tool")).to_have_count(1)
    assert line.dead == 1
    events = ended_run(server, thread_id)
    expect(chat.page.locator('.work[data-status="running"]')).to_be_visible()

    # Meanwhile somebody goes on in another window; this one hears nothing of it.
    other = open_window(storage_state=alices_cookies)
    other.open(f"/#/threads/{thread_id}")
    expect_shown(other.expect_answer(), events)
    other.ask("And what else?")
    other.expect_answer(1)
    later = ended_run(server, thread_id, position=1)
    expect(chat.questions).to_have_text(["What can you do?"])

    line.close(4408, "Frames were not taken fast enough; resume.")
    chat.expect_answer(1)
    expect(chat.questions).to_have_text(["What can you do?", "And what else?"])
    expect(chat.answers).to_have_count(2)
    expect_shown(chat.answers.nth(0), events)
    expect_shown(chat.answers.nth(1), later)

    # Both windows stand again, and see the same.
    other.ask("A third one, for both.")
    last = other.expect_answer(2)
    expect_shown(last, ended_run(server, thread_id, position=2))
    expect_shown(chat.expect_answer(2), ended_run(server, thread_id, position=2))

    # An end without an answer, of which the messages say nothing.
    with override(server, "alice", "concurrent_runs", 0):
        chat.ask("A fourth one, to be stopped.")
        expect(chat.page.get_by_text("Waiting, next in line", exact=True)).to_be_visible()
        line.go_dead()
        other.page.get_by_role("button", name="Stop").click()
        expect(other.answers.locator(".notice")).to_be_visible()
    expect(chat.page.get_by_text("Waiting, next in line", exact=True)).to_be_visible()
    line.close(1012, "The server restarts.")
    expect(chat.answers.locator(".notice")).to_have_text("Stopped before there was an answer.")


def test_after_sleep_a_connection_that_only_seems_to_stand_is_replaced(
    open_window: OpenWindow, alices_cookies: StorageState
) -> None:
    chat = open_window(storage_state=alices_cookies)
    line = Line(dead_after="connection_established")
    chat.page.clock.install()
    chat.page.route_web_socket("**/ws/chat/", line.take)
    chat.open()
    chat.expect_connected()
    assert len(line.sockets) == 1
    # The lid is closed for less than a heartbeat's time, and nobody would ask the line otherwise.
    chat.page.clock.fast_forward(20_000)
    chat.page.clock.fast_forward(3_000)
    chat.page.clock.fast_forward(1_000)
    line.expect_sockets(chat.page, 2)
    chat.expect_connected()


def test_a_sign_in_that_still_holds_is_used_once_more_and_what_was_typed_is_kept(
    open_window: OpenWindow, alices_cookies: StorageState
) -> None:
    asked = "What can you do? For my eyes only."
    chat = open_window(storage_state=alices_cookies)
    line = Line()
    chat.page.route_web_socket("**/ws/chat/", line.take)
    chat.open()
    chat.expect_connected()
    chat.ask(asked)
    answer = chat.expect_answer().locator(".answer").inner_text()
    expect(chat.page.get_by_role("heading", name=asked)).to_be_visible()
    expect(chat.threads.filter(has_text=asked)).to_be_visible()
    chat.question.fill("Not sent yet")
    line.close(4401, "The session has ended.")
    banner = chat.page.get_by_role("status").filter(has_text="no longer signed in")
    line.expect_sockets(chat.page, 2)
    chat.expect_connected()
    expect(banner).to_be_hidden()

    line.close(4401, "The session has ended.")
    expect(banner).to_contain_text("The session has ended. What you typed is kept.")
    expect(chat.page.get_by_text("Signed out", exact=True)).to_be_attached()
    assert len(line.sockets) == 2
    expect_nothing_of_the_account(chat, [asked, answer, "alice"])
    expect(chat.question).to_have_value("Not sent yet")

    # Meanwhile they have signed in again elsewhere.
    chat.page.evaluate("dispatchEvent(new Event('online'))")
    chat.expect_connected()
    expect(banner).to_be_hidden()
    expect(chat.questions).to_have_text([asked])
    expect(chat.answers).to_have_count(1)
    expect(chat.answers.locator(".answer")).to_be_visible()
    expect(chat.page.get_by_role("heading", name=asked)).to_be_visible()
    expect(chat.threads.filter(has_text=asked)).to_be_visible()
    expect(chat.question).to_have_value("Not sent yet")

    line.close(4401, "The session has ended.")
    line.expect_sockets(chat.page, 4)
    chat.expect_connected()
    line.close(4401, "The session has ended.")
    banner.get_by_role("link", name="Sign in").click()
    chat.expect_connected()
    expect(chat.question).to_have_value("Not sent yet")
