"""The event log of one attempt at a run: numbered, durable, fenced."""

from typing import Any
from uuid import UUID

from agents.event_drafts import Draft, Numbering, Step
from agents.event_encoding import encode_data
from agents.event_records import is_attempt_of
from agents.event_sinks import hand_delta, hand_events, register_event_sink, unregister_event_sink
from agents.event_writer import EventWriter, FencedError, get_event_writer
from agents.events import Delta, Event
from agents.storable import storable
from agents.told import Told
from contexts.context import UserExecutionContext
from contexts.exceptions import ContextIsolationError
from contexts.manager import UserContextManager, get_context_manager

__all__ = ["EventLog", "FencedError", "register_event_sink", "unregister_event_sink"]


class EventLog:
    """Appends a run's events, numbering them on from the last one; one log an attempt.

    What carries something of another user is stopped before it gets a number. What an earlier attempt has
    told already is not told again.

    Raises:
        ContextIsolationError: when the context belongs to no run and thread.
    """

    def __init__(
        self,
        context: UserExecutionContext,
        *,
        attempt: int,
        last_seq: int,
        manager: UserContextManager | None = None,
        told: Told | None = None,
    ) -> None:
        """Continue after event `last_seq` (0: none yet) as the run's attempt number `attempt`.

        `told` are the events of earlier attempts. `manager`, the process's own by default, has registered
        `context`.
        """
        if context.run_id is None or context.thread_id is None:
            raise ContextIsolationError("Events belong to a run; this context has none.")
        self._context = context
        self._manager = manager or get_context_manager()
        self._numbering = Numbering(context, attempt=attempt, last_seq=last_seq)
        self._writer: EventWriter = get_event_writer()
        self._told = told or Told()
        self._thoughts = self._told.thoughts

    @property
    def context(self) -> UserExecutionContext:
        """Return the context of the run that this log belongs to."""
        return self._context

    @property
    def manager(self) -> UserContextManager:
        """Return the manager that the context is registered with."""
        return self._manager

    @property
    def run_id(self) -> UUID:
        """Return the run that this log belongs to."""
        return self._numbering.run_id

    @property
    def attempt(self) -> int:
        """Return the attempt that this log writes for."""
        return self._numbering.attempt

    def check(self, payload: Any) -> None:
        """Check that text or JSON-like data may leave for the run's user.

        Raises:
            ContextIsolationError: when it carries something of another user.
            QuarantinedError: when the context was quarantined.
        """
        self._manager.check_outgoing(self._context, payload)

    async def append(
        self, event_type: str, *, agent_name: str, data: dict[str, Any], step: Step | None = None
    ) -> Event | None:
        """Number an event, commit it together with the `step` that it tells of, and have it published.

        Returned is the event once it is committed; none when it was told before.

        An append that was begun is finished even when its caller is cancelled, and a number is spent
        only by what was committed: the run's events never have a gap.

        Raises:
            TypeError: when `data` are not JSON-like.
            ContextIsolationError, QuarantinedError: as `check` does, before anything is written.
            FencedError: when the run has ended or was taken over.
            psycopg.Error: when the database refuses or does not answer.
        """
        if self._told.take(event_type, agent_name, data):
            return None
        data, text = encode_data(data)
        self.check(data)
        return await self._writer.append(self._numbering, Draft(event_type, agent_name, data, text), step)

    async def append_thought(self, text: str, *, agent_name: str) -> None:
        """Number and tell a thought of an agent; raises what `append` does."""
        data = {"step": self._thoughts + 1, "text": text}
        if self._told.take("agent_thinking", agent_name, data):
            return
        self._thoughts += 1
        await self.append("agent_thinking", agent_name=agent_name, data=data)

    async def save(self, step: Step) -> None:
        """Commit a step that no event tells of; raises what `append` does."""
        await self._writer.append(self._numbering, None, step)

    def was_begun(self, call_id: str) -> bool:
        """Tell whether an earlier attempt told that a call began, and never how it ended."""
        return call_id in self._told.open_calls

    async def confirm(self) -> None:
        """Look whether the run is still with this attempt, before what cannot be undone.

        Raises:
            FencedError: when it has ended or was taken over.
            UnavailableError: when the database does not answer.
        """
        if not await is_attempt_of(self.run_id, self.attempt):
            raise FencedError(f"Run {self.run_id} is no longer attempt {self.attempt}'s.")

    async def settle(self) -> None:
        """Return when no append is under way any more."""
        await self._numbering.settle()

    def publish(self, event: Event) -> None:
        """Have an event published that was committed elsewhere, after all earlier ones."""
        hand_events([event], self._context)

    def send_delta(self, *, offset: int, text: str, before: str = "") -> None:
        """Publish a piece of the answer as it is written; it is checked together with the text `before` it.

        Raises:
            ContextIsolationError, QuarantinedError: as `check` does, before anything is sent.
        """
        self.check(before + text)
        hand_delta(
            Delta(
                run_id=self._numbering.run_id,
                thread_id=self._numbering.thread_id,
                tenant_id=self._context.tenant_id,
                user_id=self._context.user_id,
                attempt=self._numbering.attempt,
                offset=offset,
                text=storable(text),
            ),
            self._context,
        )
