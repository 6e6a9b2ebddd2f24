"""From the event log to the sockets: each run's events go out through its own context."""

from collections.abc import Sequence

from agents.events import TERMINAL_TYPES, Delta, Event
from contexts.context import UserExecutionContext
from contexts.exceptions import ContextIsolationError
from contexts.rights import Member
from realtime.emitter import UserWebSocketEmitter
from realtime.envelopes import Envelope
from realtime.fanout import get_fanout
from realtime.quota_reports import SETTLED_BY_RUNS, report_soon


class AgentWebSocketBridge:
    """Carries what one context's agents do to the sockets of its user; bound to that context for good.

    Raises:
        TypeError: when made without a context.
    """

    __slots__ = ("_context", "_emitter")

    def __init__(self, context: UserExecutionContext) -> None:
        """Send for `context`."""
        self._emitter = UserWebSocketEmitter(context)
        self._context = context

    def send_events(self, events: Sequence[Event]) -> None:
        """Send committed events, in order.

        Raises:
            ContextIsolationError: when one is of another run or another user; nothing is sent.
        """
        self._check_run(events)
        self._emitter.emit_events(events)

    def send_delta(self, delta: Delta) -> None:
        """Send a piece of the answer.

        Raises:
            ContextIsolationError: as `send_events` does.
        """
        self._check_run([delta])
        self._emitter.emit_delta(delta)

    def _check_run(self, items: Sequence[Event | Delta]) -> None:
        run_id = self._context.run_id
        if run_id is not None and any(item.run_id != run_id for item in items):
            raise ContextIsolationError("An event of another run was about to be sent.")


class SocketSink:
    """The event sink that leads to the sockets; after a run's end its owner is also told their quotas."""

    def deliver_events(self, events: Sequence[Event], context: UserExecutionContext | None) -> None:
        """Send one run's committed events to its owner."""
        if context is None:
            get_fanout().send(events[0].user_id, [Envelope.of_event(event) for event in events])
        else:
            AgentWebSocketBridge(context).send_events(events)
        last = events[-1]
        if last.type in TERMINAL_TYPES:
            owner = Member(tenant_id=last.tenant_id, user_id=last.user_id)
            report_soon(owner, SETTLED_BY_RUNS)

    def deliver_delta(self, delta: Delta, context: UserExecutionContext) -> None:
        """Send a piece of an answer to its owner."""
        AgentWebSocketBridge(context).send_delta(delta)

    async def flush(self) -> None:
        """Return when what was sent has left this process."""
        await get_fanout().flush()
