"""The page's picture of a run: the same whichever way, and how often, its events arrive."""

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.chat_page import ChatPage
from tests.browser.conftest import OpenWindow

pytestmark = pytest.mark.browser

SCRIPT = """
async (steps) => {
  const { RunRecord } = await import("/static/realtime/run_record.js");
  const record = new RunRecord("run", "thread");
  const take = (step) => "offset" in step ? record.acceptDelta(step) : record.accept(step, { isLive: true });
  const outcomes = steps.map(take);
  return { outcomes, lastSeq: record.lastSeq, status: record.status, text: record.text, steps: record.steps };
}
"""


def event(seq: int, kind: str, agent: str = "triage", **data: Any) -> dict[str, Any]:
    """Return a run event as the socket sends it."""
    timestamp = f"2026-01-01T00:00:{seq:02}Z"
    return {"type": kind, "seq": seq, "agent_name": agent, "timestamp": timestamp, "data": data}


@pytest.fixture
def window(open_window: OpenWindow) -> ChatPage:
    window = open_window()
    window.open("/accounts/login/")
    return window


def test_repeated_and_missing_events_are_told_apart(window: ChatPage) -> None:
    events = [
        event(1, "run_queued"),
        event(2, "agent_started"),
        event(2, "agent_started"),
        event(4, "run_cancelled"),
    ]
    result = window.page.evaluate(SCRIPT, events)
    assert result["outcomes"] == ["applied", "applied", "repeated", "gap"]
    assert (result["lastSeq"], result["status"]) == (2, "running")


def test_events_that_came_early_are_kept_until_the_missing_ones_are_there(window: ChatPage) -> None:
    events = [
        event(3, "run_cancelled"),
        event(2, "agent_started"),
        event(1, "run_queued"),
        event(3, "run_cancelled"),
    ]
    result = window.page.evaluate(SCRIPT, events)
    assert result["outcomes"] == ["gap", "gap", "applied", "repeated"]
    assert (result["lastSeq"], result["status"]) == (3, "cancelled")


def test_pieces_of_the_answer_are_placed_by_characters(window: ChatPage) -> None:
    pieces = [
        {"offset": 0, "text": "🙂🙂 ab"},
        {"offset": 5, "text": "c"},
        {"offset": 9, "text": "lost"},
        {"offset": 2, "text": "!"},
    ]
    result = window.page.evaluate(SCRIPT, pieces)
    assert result["outcomes"] == [True, True, False, True]
    assert result["text"] == "🙂🙂!"


def test_tools_belong_to_the_agent_that_used_them(window: ChatPage) -> None:
    result = window.page.evaluate(
        SCRIPT,
        [
            event(1, "run_queued", ""),
            event(2, "agent_started"),
            event(3, "agent_thinking", step="1", text="Looking."),
            event(4, "tool_executing", call_id="a", tool_name="list_datasets", params={}),
            event(
                5, "tool_completed", call_id="a", tool_name="list_datasets", ok=True, result=1, duration_ms=5
            ),
            event(6, "agent_handoff", "data", from_agent="triage", to_agent="data", reason="Because."),
            event(7, "tool_executing", "data", call_id="b", tool_name="spend_breakdown", params={}),
            event(8, "run_failed", "", code="timeout", message="Too long.", retryable=True),
        ],
    )
    assert result["status"] == "failed"
    assert [(step["agent"], step["reason"]) for step in result["steps"]] == [
        ("triage", None),
        ("data", "Because."),
    ]
    assert [tool["state"] for step in result["steps"] for tool in step["tools"]] == ["done", "stopped"]
    assert all(step["durationMs"] is not None for step in result["steps"])


def test_streamed_markdown_becomes_elements_and_never_markup(window: ChatPage) -> None:
    markdown = (
        "## Head\n\nA **bold** <b>tag</b> and `code`.\n\n| a | b |\n|---|---|\n| 1 | <i>2</i> |\n\n- one"
    )
    result = window.page.evaluate(
        """async (markdown) => {
             const { renderStreamed } = await import("/static/realtime/streamed_markdown.js");
             const box = document.createElement("div");
             box.append(...renderStreamed(markdown));
             return [box.innerHTML, [...box.querySelectorAll("*")].map((node) => node.localName)];
           }""",
        markdown,
    )
    assert "&lt;b&gt;tag&lt;/b&gt;" in result[0]
    assert {"h2", "strong", "code", "table", "td", "ul", "li"} <= set(result[1])
    assert not {"b", "i"} & set(result[1])


def test_what_was_cut_from_a_call_is_fetched_when_asked_for(window: ChatPage) -> None:
    call = {"call_id": "call-1", "tool_name": "query_dataset"}
    events = [
        event(1, "run_queued"),
        event(2, "agent_started"),
        event(3, "tool_executing", **call, params={"sql": "SELECT 1"}),
        event(
            4, "tool_completed", **call, ok=True, result=["a", "… 2 more items"], duration_ms=5, is_cut=True
        ),
    ]
    # Of the server's answer only what the page reads; the whole is pinned by the tests of the interface.
    window.page.route("**/api/v1/runs/run/calls/call-1", lambda route: route.fulfill(json=fetched[0]))
    fetched: list[dict[str, Any]] = [{"params": {"sql": "SELECT 1"}, "result": ["a", "b", "<i>c</i>"]}]
    window.page.evaluate(
        """async (events) => {
             const { RunRecord } = await import("/static/realtime/run_record.js");
             const { WorkPanel } = await import("/static/realtime/work_panel.js");
             const record = new RunRecord("run", "thread");
             for (const event of events) record.accept(event, { isLive: true });
             document.body.replaceChildren(new WorkPanel(record).node);
           }""",
        events,
    )
    window.page.get_by_text("Query dataset", exact=True).click()
    detail = window.page.locator(".tool-detail")
    expect(detail).to_contain_text("2 more items")
    window.page.get_by_role("button", name="Show everything").click()
    expect(detail).to_contain_text("<i>c</i>")
    expect(detail).not_to_contain_text("more items")
    expect(window.page.get_by_role("button", name="Show everything")).to_have_count(0)
