"""Events that happen to a run: rows in the log, and what the bridge publishes of them."""

from typing import Any
from uuid import uuid4

from agents.events import Event
from agents.models import Run
from contexts.database import call_in_thread
from realtime.bridge import SocketSink
from tests.factories import make_event

DATA: dict[str, dict[str, Any]] = {
    "run_queued": {"text": "Where?", "dataset_ids": [], "agent": None},
    "agent_started": {"agents": ["triage"]},
    "agent_thinking": {"step": 1, "text": "Reading the question."},
    "run_resumed": {"attempt": 2},
    "run_cancelled": {"by": "user"},
    "agent_completed": {
        "message_id": str(uuid4()),
        "final_response": "Here.",
        "final_response_html": "<p>Here.</p>",
        "recommendations": [],
        "usage": {"input_tokens": 1, "output_tokens": 1, "cost_usd": "0"},
        "duration_ms": 1,
    },
}


async def record(run: Run, seq: int, kind: str = "agent_thinking") -> Event:
    """Commit an event of the run, but publish nothing."""
    data = DATA[kind] | ({"text": f"thought {seq}"} if kind == "agent_thinking" else {})
    row = await call_in_thread(make_event, run, seq, kind, data=data)
    return Event(
        run_id=run.id,
        thread_id=run.thread_id,
        tenant_id=run.tenant_id,
        user_id=run.user_id,
        seq=seq,
        type=kind,
        agent_name=row.agent_name,
        created_at=row.created_at,
        data=data,
    )


async def publish(*events: Event) -> None:
    """Publish committed events as the event log does."""
    SocketSink().deliver_events(events, None)


async def happen(run: Run, *numbers: int) -> None:
    """Commit and publish thoughts with these numbers, in one flush."""
    await publish(*[await record(run, number) for number in numbers])
