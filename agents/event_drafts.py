"""What waits to be appended to a run's log: events that have no number yet, and steps."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from agents.event_encoding import FrameHead
from agents.events import Event, timestamp_of
from contexts.context import UserExecutionContext


class Numbering:
    """How far one attempt at a run is in numbering its events; its events are written by one writer."""

    __slots__ = (
        *("attempt", "context", "head", "idle", "is_certain", "last_seq"),
        *("run_id", "run_text", "thread_id", "waiting"),
    )

    def __init__(self, context: UserExecutionContext, *, attempt: int, last_seq: int) -> None:
        """Go on after event `last_seq` of the context's run."""
        assert context.run_id is not None
        assert context.thread_id is not None
        self.context = context
        self.run_id = context.run_id
        self.run_text = str(context.run_id)
        self.thread_id = context.thread_id
        self.attempt = attempt
        self.last_seq = last_seq
        self.is_certain = True
        """Whether `last_seq` is what the database has: not after an answer of it was lost."""
        self.head = FrameHead(run_id=self.run_id, thread_id=self.thread_id, user_id=context.user_id)
        self.waiting = 0
        """Events that are not written yet."""
        self.idle: asyncio.Event | None = None

    async def settle(self) -> None:
        """Return when no event is waiting any more."""
        while self.waiting:
            self.idle = self.idle or asyncio.Event()
            self.idle.clear()
            await self.idle.wait()


class Step(NamedTuple):
    """A finished step of a run, as it is kept for a later attempt."""

    name: str
    """Its own within the run."""
    content: str
    """JSON."""


@dataclass(slots=True, eq=False)
class Draft:
    """An event that has no number yet."""

    type: str
    agent_name: str
    data: dict[str, Any]
    data_text: str
    """`data` as JSON."""
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def number(self, numbering: Numbering, seq: int) -> Event:
        """Return the event as number `seq` of its run."""
        context = numbering.context
        encoded = numbering.head.frame(
            seq=seq,
            event_type=self.type,
            agent_name=self.agent_name,
            timestamp=timestamp_of(self.created_at),
            data=self.data_text,
        )
        return Event(
            run_id=numbering.run_id,
            thread_id=numbering.thread_id,
            tenant_id=context.tenant_id,
            user_id=context.user_id,
            seq=seq,
            type=self.type,
            agent_name=self.agent_name,
            created_at=self.created_at,
            data=self.data,
            encoded=encoded,
        )
