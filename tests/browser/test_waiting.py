"""What a question that waits says, and what a run that was taken over or failed shows."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, expect

from tests.browser.chat_page import ANSWER_MS, ChatPage
from tests.browser.conftest import OpenWindow
from tests.browser.run_events import ended_run, expect_shown, thread_of
from tests.netra_site.services import eventually
from tests.operating import override
from tests.servers import ROOT, ServerProcess, database_url, serve

pytestmark = pytest.mark.browser

WORKER_START_S = 90
NO_WORKER = "No worker is running: your question is kept and is answered as soon as one starts"
SHOW_RUN = """
async () => {
  const { RunRecord } = await import("/static/realtime/run_record.js");
  const { RunView } = await import("/static/realtime/run_view.js");
  window.record = new RunRecord("run", "thread");
  document.body.replaceChildren(new RunView(window.record, { onAskAgain: () => false }).node);
}
"""
TAKE = """
(steps) => steps.forEach((step) => {
  if ("offset" in step) window.record.acceptDelta(step);
  else window.record.accept(step, { isLive: true });
})
"""


@pytest.fixture
def idle_server(tmp_path: Path, redis_url: str, django_db_setup: None) -> Iterator[ServerProcess]:
    """Yield a web process without any worker, on a database of its own."""
    options = {"NETRA_STALLED_AFTER_S": "3", "REDIS_URL": redis_url}
    database = database_url("netra_idle_web")
    with serve(database, tmp_path, "--no-worker", wait_for="/healthz", **options) as process:
        yield process


def test_without_a_worker_a_question_says_so_and_is_answered_once_one_starts(
    browser: Browser, idle_server: ServerProcess
) -> None:
    context = browser.new_context()
    chat = ChatPage(context.new_page(), idle_server.url)
    chat.sign_in("carol")
    chat.ask("What can you do?")
    headline = chat.page.locator(".work .headline")
    expect(headline).to_have_text(NO_WORKER)
    expect(chat.page.locator("#announcer")).to_have_text(f"{NO_WORKER}.")
    stop = chat.page.get_by_role("button", name="Stop")
    expect(stop).to_be_enabled()

    with idle_server.database() as rows:
        seen = rows.execute(
            "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() + '1 hour') RETURNING id"
        ).fetchone()
        expect(headline).to_have_text("Waiting for a free worker", timeout=ANSWER_MS)
        rows.execute("DELETE FROM procrastinate_workers WHERE id = %s", seen)
    # What the question's event says is true again, and the page has to find out by itself.
    chat.page.reload()
    expect(headline).to_have_text(NO_WORKER, timeout=ANSWER_MS)

    worker = subprocess.Popen(
        [sys.executable, "manage.py", "worker"],
        cwd=ROOT,
        env=idle_server.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        eventually(lambda: httpx.get(f"{idle_server.url}/readyz", timeout=10).is_success, WORKER_START_S)
        events = ended_run(idle_server, thread_of(chat))
        expect_shown(chat.expect_answer(), events)
        expect(stop).to_be_hidden()
    finally:
        worker.kill()
        worker.wait()
        context.close()


def test_what_failed_is_tried_again_as_it_was_asked_also_after_reloading(
    open_window: OpenWindow, server: ServerProcess, small_log: Path
) -> None:
    chat = open_window()
    chat.sign_in("bob")
    chat.upload(small_log, assume_model="gpt-4o")
    with override(server, "bob", "run_seconds", 0):
        chat.ask("Where does our AI spend go?")
        again = chat.page.get_by_role("button", name="Try again")
        expect(again).to_be_visible(timeout=ANSWER_MS)
        thread_id = thread_of(chat)
        chat.page.reload()
        expect(again).to_be_visible()
        expect(chat.attachments).to_have_count(0)
    again.click()
    chat.expect_answer(1)
    expect(again).to_have_count(0)
    expect(chat.questions).to_have_text(["Where does our AI spend go?"] * 2)
    (_, first), *_ = failed = ended_run(server, thread_id)
    (_, second), *_ = ended_run(server, thread_id, position=1)
    assert (failed[-1][0], failed[-1][1]["code"], failed[-1][1]["retryable"]) == (
        "run_failed",
        "timeout",
        True,
    )
    assert first["dataset_ids"]
    assert {name: second[name] for name in ("text", "dataset_ids", "agent")} == {
        name: first[name] for name in ("text", "dataset_ids", "agent")
    }


def event(seq: int, kind: str, **data: Any) -> dict[str, Any]:
    timestamp = f"2026-01-01T00:00:{seq:02}Z"
    return {"type": kind, "seq": seq, "agent_name": "reporting", "timestamp": timestamp, "data": data}


def test_after_a_worker_was_lost_the_answer_begins_anew_and_its_tool_goes_on(open_window: OpenWindow) -> None:
    window = open_window()
    window.open("/accounts/login/")
    page = window.page
    page.evaluate(SHOW_RUN)
    call = {"call_id": "a", "tool_name": "query_dataset"}
    page.evaluate(
        TAKE,
        [
            event(1, "run_queued", text="Where?", position=3, waiting_for="place"),
        ],
    )
    headline = page.locator(".headline")
    expect(headline).to_have_text("Waiting: 2 of your questions are before this one")
    page.evaluate(
        TAKE,
        [
            event(2, "agent_started"),
            event(3, "tool_executing", **call, params={}),
            {"offset": 0, "text": "Half of an ans"},
        ],
    )
    expect(page.locator(".answer")).to_have_text("Half of an ans")
    page.evaluate(TAKE, [event(4, "run_resumed", attempt=2)])
    expect(page.locator(".answer")).to_have_text("")
    expect(page.get_by_text("Another worker goes on with the answer")).to_be_visible()
    expect(page.locator('.tool[data-state="running"]')).to_have_count(1)
    page.evaluate(
        TAKE,
        [
            {"offset": 14, "text": "wer of the lost worker"},
            event(5, "tool_executing", **call, params={}),
            event(6, "tool_completed", **call, ok=True, result=1, duration_ms=5),
            {"offset": 0, "text": "Another "},
            {"offset": 8, "text": "answer"},
        ],
    )
    expect(page.locator(".tool")).to_have_count(1)
    expect(page.locator('.tool[data-state="done"]')).to_have_count(1)
    expect(page.locator(".answer")).to_have_text("Another answer")
