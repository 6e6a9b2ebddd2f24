"""What happens in a run, as its user is told."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

TERMINAL_TYPES = frozenset({"agent_completed", "run_failed", "run_cancelled"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """A numbered, durable event; sinks see it only after it is committed."""

    run_id: UUID
    thread_id: UUID
    tenant_id: UUID
    user_id: UUID
    seq: int
    """1 for the run's first event, then one more each, without a gap."""
    type: str
    agent_name: str
    created_at: datetime
    data: dict[str, Any]
    encoded: str | None = None
    """Its frame as JSON text, where that was made already."""

    def frame(self) -> dict[str, Any]:
        """Return the server frame that carries this event."""
        return {
            "type": self.type,
            "seq": self.seq,
            "run_id": str(self.run_id),
            "thread_id": str(self.thread_id),
            "user_id": str(self.user_id),
            "agent_name": self.agent_name,
            "timestamp": timestamp_of(self.created_at),
            "data": self.data,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Delta:
    """A piece of the answer while it is written; not numbered and not kept.

    `offset` counts characters; a piece whose offset is lower than what was received replaces
    everything from there on.
    """

    run_id: UUID
    thread_id: UUID
    tenant_id: UUID
    user_id: UUID
    attempt: int
    """The attempt at the run that writes it; those of an earlier one than is under way are not shown."""
    offset: int
    text: str

    def frame(self) -> dict[str, Any]:
        """Return the server frame that carries this piece."""
        return {
            "type": "message_delta",
            "run_id": str(self.run_id),
            "thread_id": str(self.thread_id),
            "offset": self.offset,
            "text": self.text,
        }


def timestamp_of(moment: datetime) -> str:
    """Return a moment in UTC as RFC 3339 has it."""
    return f"{moment.isoformat().removesuffix('+00:00')}Z"
