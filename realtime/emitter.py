"""Sending to one user's sockets from inside that user's context."""

from collections.abc import Sequence

from agents.events import Delta, Event
from contexts.context import UserExecutionContext
from contexts.exceptions import ContextIsolationError
from realtime.envelopes import Envelope
from realtime.fanout import get_fanout
from realtime.protocol import AccountFrame


class UserWebSocketEmitter:
    """Emits frames for the user of one context; anyone else's are refused, and nothing is sent then.

    What a failing channel layer does not take is tried again for about a second, in the background, and then
    left: numbered events are in the event log, which sockets read when they miss one.

    Raises:
        TypeError: when made without a context.
    """

    __slots__ = ("_context",)

    def __init__(self, context: UserExecutionContext) -> None:
        """Bind the emitter to `context` for good."""
        if not isinstance(context, UserExecutionContext):
            raise TypeError("An emitter is bound to a user execution context.")
        self._context = context

    def emit_account(self, frames: Sequence[AccountFrame]) -> None:
        """Send account frames to all the user's sockets, wherever they are connected.

        Raises:
            ContextIsolationError: when a frame is about another user.
        """
        get_fanout().send(self._context.user_id, [Envelope.of_account(frame) for frame in frames])

    def emit_events(self, events: Sequence[Event]) -> None:
        """Send committed events of the user's own runs to the sockets that watch their threads.

        Raises:
            ContextIsolationError: when an event is another user's or tenant's.
        """
        self._check_tenant(events)
        get_fanout().send(self._context.user_id, [Envelope.of_event(event) for event in events])

    def emit_delta(self, delta: Delta) -> None:
        """Send a piece of an answer; it may be lost, and the whole answer comes with the last event.

        Raises:
            ContextIsolationError: when it is another user's or tenant's.
        """
        self._check_tenant([delta])
        get_fanout().send(self._context.user_id, [Envelope.of_delta(delta)])

    def _check_tenant(self, items: Sequence[Event | Delta]) -> None:
        if any(item.tenant_id != self._context.tenant_id for item in items):
            raise ContextIsolationError("Something of another tenant was about to be sent.")
