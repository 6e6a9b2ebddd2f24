"""Netra itself: the events of a run, appended to the durable event log as a worker does."""

from uuid import UUID

from agents.event_log import EventLog
from benchmarks.live.frames import AGENT_NAME, EVENT_TYPE, event_data
from contexts.manager import get_context_manager


class NetraEmitter:
    """Appends to one user's run, in a context of that run."""

    def __init__(self, person: dict[str, str]) -> None:
        """Continue the person's run after its last event."""
        context = get_context_manager().create_context(
            person["user_id"],
            "enterprise",
            tenant_id=person["tenant_id"],
            operation="run",
            thread_id=UUID(person["thread_id"]),
            run_id=UUID(person["run_id"]),
        )
        self._log = EventLog(context, attempt=1, last_seq=int(person["last_seq"]))

    async def emit(self, sent_ns: int) -> None:
        """Append the next event; it is committed on return."""
        await self._log.append(EVENT_TYPE, agent_name=AGENT_NAME, data=event_data(sent_ns))
