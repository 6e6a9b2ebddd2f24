"""What an open socket takes part in, taken up one after the other and given back in reverse."""

from collections.abc import Awaitable, Callable
from functools import partial

from contexts.batching import Batcher
from contexts.context import UserExecutionContext
from contexts.exceptions import NetraError
from contexts.identifiers import new_id
from contexts.manager import get_context_manager
from contexts.sign_ins import SignIn
from contexts.sockets import OpenedSocket, WantedSocket, give_up_sockets, open_sockets
from realtime.clock import get_socket_clock
from realtime.connection import Connection
from realtime.managers import get_websocket_manager
from realtime.outbox import SendText
from realtime.places import SocketPlace
from realtime.protocol import ConnectionEstablished, encode_frame
from realtime.quarantine import watch_for_quarantine
from realtime.review import get_socket_review

HEARTBEAT_S = 30
AT_ONCE = 64
"""Sockets that are opened by one call of the database."""

_open_in_batches: Batcher[WantedSocket, OpenedSocket | NetraError] = Batcher(
    open_sockets, size=AT_ONCE, take_back=give_up_sockets
)


class OpenSocket:
    """A socket's context, place and connection, from its sign-in until `leave`."""

    __slots__ = ("_connection", "_id", "_send", "_undo", "is_left")

    def __init__(self, send: SendText) -> None:
        """Send through `send`; take part in nothing yet."""
        self._send = send
        self._id = new_id()
        self._connection: Connection | None = None
        self._undo: list[Callable[[], Awaitable[None] | None]] = []
        self.is_left = False

    @property
    def connection(self) -> Connection:
        """Return the connection, once the socket is open."""
        assert self._connection is not None
        return self._connection

    async def open(self, signed_in: SignIn) -> None:
        """Take part in everything; whoever calls this calls `leave`, also when it fails.

        Raises:
            NetraError: when the user may not have a socket (now).
        """
        review = get_socket_review()
        since = review.expect()
        self._undo.append(review.dismiss)
        wanted = WantedSocket(user_id=signed_in.user_id, connection_id=self._id)
        opened = await _open_in_batches(wanted)
        if isinstance(opened, NetraError):
            raise opened
        connection = self._connection = Connection(opened.context, sign_in=signed_in, send=self._send)
        self._undo.append(self._close_context)
        place = SocketPlace(connection, opened.lease)
        self._undo += [place.give_back, connection.stop, watch_for_quarantine(connection)]
        # Queued before anything else can be.
        connection.outbox.put(encode_frame(_established(opened.context, signed_in)))
        manager = get_websocket_manager(opened.context)
        manager.add_connection(self._id, connection)
        self._undo.append(partial(manager.remove_connection, self._id))
        clock = get_socket_clock()
        clock.add(connection)
        self._undo += [partial(clock.remove, connection), partial(review.remove, place)]
        connection.outbox.start()
        review.add(place, since=since)

    async def leave(self) -> None:
        """Give back all that was taken up; what cannot be given back now expires by itself."""
        self.is_left = True
        if self._connection is not None:
            self._connection.ended.cancel()
        try:
            while self._undo:
                undoing = self._undo.pop()()
                if undoing is not None:
                    await undoing
        finally:
            if self._undo:  # one step failed or was cancelled, which must not keep the others
                await self.leave()

    async def _close_context(self) -> None:
        await get_context_manager().cleanup_context(self.connection.context.context_id)


def _established(context: UserExecutionContext, signed_in: SignIn) -> ConnectionEstablished:
    assert context.connection_id is not None
    return ConnectionEstablished(
        connection_id=context.connection_id,
        user_id=context.user_id,
        tenant_id=context.tenant_id,
        expires_at=signed_in.expires_at,
        heartbeat_s=HEARTBEAT_S,
    )
