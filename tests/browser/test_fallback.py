"""Where sockets are blocked: the same answers over server-sent events, and where those are too, by asking."""

import pytest
from playwright.sync_api import Request, Route, StorageState, WebSocketRoute, expect

from tests.browser.chat_page import ChatPage
from tests.browser.conftest import OpenWindow
from tests.browser.run_events import ended_run, expect_shown, thread_of
from tests.operating import override
from tests.servers import ServerProcess

pytestmark = [pytest.mark.browser, pytest.mark.mission_critical("P1")]

BLOCK_SOCKETS = """
const RealSocket = window.WebSocket;
window.isBlocked = true;
window.WebSocket = class extends EventTarget {
  constructor(url) {
    if (!window.isBlocked) return new RealSocket(url);
    super();
    setTimeout(() => this.dispatchEvent(new CloseEvent("close", { code: 1006 })), 10);
  }
  close() {}
};
"""
SWALLOW_SOCKETS = """
const RealSocket = window.WebSocket;
Object.assign(window, { isBlocked: true, handshakes: 0 });
window.WebSocket = class extends EventTarget {
  readyState = 0;
  constructor(url) {
    if (!window.isBlocked) return new RealSocket(url);
    super();
    window.handshakes += 1;
  }
  close() {}
};
"""
FORBID_SOCKETS_AND_STREAMS = """
window.WebSocket = class { constructor() { throw new DOMException("Forbidden.", "SecurityError"); } };
delete window.EventSource;
"""


def open_blocked(
    open_window: OpenWindow, cookies: StorageState, script: str, *, is_slow: bool = False
) -> tuple[ChatPage, list[str]]:
    """Return a window in which `script` blocks sockets, and the addresses of the streams it will open.

    When the server `is_slow`, it answers only after the page has said that it has no connection yet.
    """
    chat = open_window(storage_state=cookies)
    streams: list[str] = []

    def note(request: Request) -> None:
        if request.resource_type == "eventsource":
            streams.append(request.url)

    chat.page.on("request", note)
    chat.page.add_init_script(script)
    held = hold(chat) if is_slow else []
    chat.open()
    if is_slow:
        banner = chat.page.get_by_role("status").filter(has_text="No connection yet. Trying again…")
        expect(banner).to_be_visible()
        release(chat, held)
        expect(banner).to_be_hidden()
    expect_fallback(chat)
    return chat, streams


def hold(chat: ChatPage) -> list[Route]:
    """Hold back, in the list returned, each request that would tell the page that the server answers."""
    held: list[Route] = []
    chat.page.route("**/api/v1/me", lambda route: held.append(route))
    return held


def release(chat: ChatPage, held: list[Route]) -> None:
    """Let the requests pass that were held back, and those to come."""
    while held:
        held.pop().continue_()
    chat.page.unroute("**/api/v1/me")


def expect_fallback(chat: ChatPage) -> None:
    """Wait until the page does without the socket."""
    expect(chat.page.get_by_text("Connected without live socket")).to_be_visible(timeout=15_000)


def test_without_sockets_questions_are_answered_over_streams_and_sockets_are_taken_up_again(
    open_window: OpenWindow, alices_cookies: StorageState, server: ServerProcess
) -> None:
    chat, streams = open_blocked(open_window, alices_cookies, BLOCK_SOCKETS)
    chat.ask("What can you do?")
    thread_id = thread_of(chat)
    answer = chat.expect_answer()
    expect_shown(answer, ended_run(server, thread_id))
    assert len(streams) == 1

    # What is asked in another window is found.
    other = open_window(storage_state=alices_cookies)
    other.open(f"/#/threads/{thread_id}")
    other.expect_answer()
    other.ask("And what else?")
    expect_shown(chat.expect_answer(1), ended_run(server, thread_id, position=1))

    chat.page.evaluate("window.isBlocked = false; dispatchEvent(new Event('online'))")
    chat.expect_connected()
    followed = len(streams)
    chat.ask("A third one.")
    expect_shown(chat.expect_answer(2), ended_run(server, thread_id, position=2))
    expect(chat.questions).to_have_text(["What can you do?", "And what else?", "A third one."])
    expect(chat.answers).to_have_count(3)
    assert len(streams) == followed


def test_a_handshake_that_is_swallowed_is_not_waited_for_and_after_a_reload_not_at_all(
    open_window: OpenWindow, alices_cookies: StorageState, server: ServerProcess
) -> None:
    chat = open_window(storage_state=alices_cookies)
    held = hold(chat)
    chat.page.add_init_script(SWALLOW_SOCKETS)
    chat.open()
    chat.ask("What can you do?")
    waiting = chat.page.get_by_text("Waiting for the connection…")
    expect(waiting).to_be_visible()
    release(chat, held)
    expect_fallback(chat)
    assert chat.page.evaluate("window.handshakes") == 1
    expect_shown(chat.expect_answer(), ended_run(server, thread_of(chat)))
    expect(waiting).to_have_count(0)
    expect(chat.questions).to_have_text(["What can you do?"])

    # Nothing that it would find out by asking is answered: what it knows, it remembers.
    held = hold(chat)
    chat.page.reload()
    expect_fallback(chat)
    assert chat.page.evaluate("window.handshakes") == 1
    chat.ask("And what else?")
    expect_shown(chat.expect_answer(1), ended_run(server, thread_of(chat), position=1))

    release(chat, held)
    chat.page.evaluate("isBlocked = false; dispatchEvent(new Event('offline'))")
    chat.page.evaluate("dispatchEvent(new Event('online'))")
    chat.expect_connected()
    assert chat.page.evaluate("sessionStorage.length") == 0


def test_without_sockets_and_streams_questions_are_answered_by_asking(
    open_window: OpenWindow, alices_cookies: StorageState, server: ServerProcess
) -> None:
    chat, streams = open_blocked(open_window, alices_cookies, FORBID_SOCKETS_AND_STREAMS, is_slow=True)
    chat.page.context.set_offline(True)
    banner = chat.page.get_by_role("status").filter(has_text="connection is lost")
    expect(banner).to_be_visible()
    chat.ask("What can you do?")
    expect(chat.questions.get_by_text("Waiting for the connection…")).to_be_visible()
    chat.page.context.set_offline(False)
    expect(banner).to_be_hidden()
    expect_shown(chat.expect_answer(), ended_run(server, thread_of(chat)))
    expect(chat.questions).to_have_count(1)
    assert streams == []


def test_a_question_whose_receipt_was_lost_with_the_socket_is_not_asked_twice(
    open_window: OpenWindow, alices_cookies: StorageState, server: ServerProcess
) -> None:
    chat = open_window(storage_state=alices_cookies)
    sockets: list[WebSocketRoute] = []

    def take(socket: WebSocketRoute) -> None:
        sockets.append(socket)
        if len(sockets) > 1:
            socket.close(code=3000)
            return
        line = socket.connect_to_server()
        line.on_message(lambda text: socket.send(text) if "connection_established" in str(text) else None)

    chat.page.route_web_socket("**/ws/chat/", take)
    chat.open()
    chat.expect_connected()
    chat.ask("What can you do? Once.")
    thread_id = _thread_asked(chat, server, "What can you do? Once.")
    sockets[0].close(code=3000)
    expect_shown(chat.expect_answer(), ended_run(server, thread_id))
    assert thread_of(chat) == thread_id
    expect(chat.questions).to_have_count(1)
    expect(chat.threads.filter(has_text="What can you do? Once.")).to_have_count(1)
    with server.database() as connection:
        empty = "SELECT id FROM agents_thread WHERE id NOT IN (SELECT thread_id FROM agents_run)"
        assert connection.execute(empty).fetchall() == []


def _thread_asked(chat: ChatPage, server: ServerProcess, text: str) -> str:
    """Return the conversation in which a question has arrived, waiting for it to arrive."""
    with server.database() as connection:
        for _ in range(500):
            row = connection.execute("SELECT thread_id FROM agents_run WHERE text = %s", [text]).fetchone()
            if row:
                return str(row[0])
            # Not asleep: the frames pass through this thread.
            chat.page.wait_for_timeout(20)
    raise AssertionError("The question has not arrived.")


def test_a_run_is_stopped_without_sockets_too(
    open_window: OpenWindow, alices_cookies: StorageState, server: ServerProcess
) -> None:
    chat, _ = open_blocked(open_window, alices_cookies, BLOCK_SOCKETS)
    with override(server, "alice", "concurrent_runs", 0):
        chat.ask("What can you do?")
        chat.page.get_by_role("button", name="Stop").click()
        expect(chat.answers.locator(".notice")).to_have_text("Stopped before there was an answer.")
    expect(chat.page.get_by_role("button", name="Stop")).to_be_hidden()
