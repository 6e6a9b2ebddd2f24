"""The event that is sent in every comparison: the frame of a thought, of about 300 bytes."""

from datetime import UTC, datetime
from typing import Any

EVENT_TYPE = "agent_thinking"
AGENT_NAME = "triage"


def event_data(sent_ns: int) -> dict[str, Any]:
    """Return what is particular to one event; the moment is of the machine's monotonic clock."""
    return {"step": 1, "text": f"sent at {sent_ns:019d}"}


def event_frame(person: dict[str, str], seq: int, sent_ns: int) -> dict[str, Any]:
    """Return the frame as an application builds it for each event."""
    return {
        "type": EVENT_TYPE,
        "seq": seq,
        "run_id": person["run_id"],
        "thread_id": person["thread_id"],
        "user_id": person["user_id"],
        "agent_name": AGENT_NAME,
        "timestamp": datetime.now(UTC).isoformat(),
        "data": event_data(sent_ns),
    }
