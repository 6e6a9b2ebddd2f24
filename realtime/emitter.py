"""Sending to one user's sockets from inside that user's context."""

from collections.abc import Sequence

from agents.events import Event
from contexts.context import UserExecutionContext
from contexts.exceptions import ContextIsolationError
from realtime.envelopes import Envelope
from realtime.protocol import AccountFrame
from realtime.publishing import publish_envelopes


class UserWebSocketEmitter:
    """Emits frames for the user of one context; anyone else's are refused.

    Raises:
        TypeError: when made without a context.
    """

    def __init__(self, context: UserExecutionContext) -> None:
        """Bind the emitter to `context` for good."""
        if not isinstance(context, UserExecutionContext):
            raise TypeError("An emitter is bound to a user execution context.")
        self._context = context

    async def emit_account(self, frames: Sequence[AccountFrame]) -> None:
        """Send account frames to all the user's sockets, wherever they are connected.

        Raises:
            ContextIsolationError: when a frame is about another user; nothing is sent.
            UnavailableError: when the channel layer does not answer.
        """
        await publish_envelopes(self._context.user_id, [Envelope.of_account(frame) for frame in frames])

    async def emit_events(self, events: Sequence[Event]) -> None:
        """Send committed events of the user's own runs to the sockets that watch their threads.

        Raises:
            ContextIsolationError: when an event is another user's or tenant's; nothing is sent.
            UnavailableError: when the channel layer does not answer.
        """
        if any(event.tenant_id != self._context.tenant_id for event in events):
            raise ContextIsolationError("An event of another tenant was about to be sent.")
        await publish_envelopes(self._context.user_id, [Envelope.of_event(event) for event in events])
