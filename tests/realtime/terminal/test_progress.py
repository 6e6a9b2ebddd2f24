"""What a person at the terminal sees."""

import io
from typing import Any

from rich.console import Console

from realtime.terminal.progress import LiveProgress


def test_control_characters_of_an_answer_do_not_reach_the_terminal() -> None:
    answer, progress = io.StringIO(), io.StringIO()
    frame = {
        "type": "agent_completed",
        "data": {"duration_ms": 1_200, "final_response": "# Hi\n\n\x1b]0;owned\x07[red]text\x9b31m"},
    }
    with LiveProgress(answer=Console(file=answer), progress=Console(file=progress)) as live:
        live.show("", frame)
        live.show("", {"type": "some_day"})
    assert "\x1b" not in answer.getvalue()
    assert "\x9b" not in answer.getvalue()
    assert "[red]text" in answer.getvalue()
    assert "answered in 1.2 s" in progress.getvalue()


def test_each_step_is_told() -> None:
    progress = io.StringIO()
    frames = [
        {"type": "ack", "id": "q", "run_id": "r", "thread_id": "t"},
        {"type": "run_queued", "data": {"text": "Where?", "position": 3, "waiting_for": "place"}},
        {"type": "agent_thinking", "agent_name": "data", "data": {"step": 1, "text": "Adding up."}},
        {"type": "tool_executing", "agent_name": "data", "data": {"tool_name": "spend_breakdown"}},
        {
            "type": "tool_completed",
            "agent_name": "data",
            "data": {"tool_name": "spend_breakdown", "ok": False, "duration_ms": 12},
        },
        {
            "type": "agent_handoff",
            "data": {"from_agent": "data", "to_agent": "reporting", "reason": "To write it down."},
        },
        {"type": "run_resumed", "data": {"attempt": 2}},
        {"type": "quota_warning", "used": 9, "limit": 10, "resource": "agent_runs"},
    ]
    with LiveProgress(answer=Console(file=io.StringIO()), progress=Console(file=progress, width=200)) as live:
        for frame in frames:
            live.show("", frame)
    said = progress.getvalue()
    for words in (
        "thread t",
        "Waiting: 2 of your questions are before this one",
        "Adding up.",
        "✗ spend_breakdown, 12 ms",
        "data  → reporting",
        "Another worker goes on with the answer (attempt 2)",
        "9 of 10",
    ):
        assert words in said


def test_each_change_of_what_is_waited_for_is_told_once() -> None:
    progress = io.StringIO()
    waits: list[dict[str, Any]] = [
        {"position": 2, "waiting_for": "place"},
        {"position": 1, "waiting_for": "place"},
        {"position": 1, "waiting_for": "place"},
        {"position": 1, "waiting_for": "worker"},
        {"position": 0, "waiting_for": "turn"},
        {},
    ]
    with LiveProgress(answer=Console(file=io.StringIO()), progress=Console(file=progress, width=200)) as live:
        for wait in waits:
            live.show_wait(wait)
    lines = [line.strip() for line in progress.getvalue().splitlines() if line.strip()]
    assert lines == [
        "Waiting: 1 of your questions is before this one",
        "Waiting, next in line",
        "No worker is running: your question is kept and is answered as soon as one starts",
    ]
