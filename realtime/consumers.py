"""The socket's consumer: opens, parses, hands on, and closes."""

import asyncio
import logging
from contextlib import AsyncExitStack, suppress
from datetime import datetime
from typing import Any, NoReturn

from channels.consumer import AsyncConsumer
from channels.exceptions import StopConsumer
from channels.utils import await_many_dispatch
from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from contexts.database import call_in_thread
from contexts.exceptions import InvalidRequestError, NetraError
from contexts.identifiers import new_id
from contexts.manager import get_context_manager
from realtime.auth import SignIn, SocketSignIn
from realtime.clock import SocketClock
from realtime.connection import Connection
from realtime.frame_services import OpenedSocket, open_socket
from realtime.frames import FrameHandler
from realtime.managers import get_websocket_manager
from realtime.places import SocketPlace
from realtime.protocol import (
    CLIENT_TYPES,
    MAX_FRAME_BYTES,
    CloseCode,
    ConnectionEstablished,
    FrameId,
    close_code_of,
    parse_client_frame,
)
from realtime.quarantine import watch_for_quarantine
from realtime.review import get_socket_review
from realtime.unavailable import DATABASE_ERRORS, report_unavailable

logger = logging.getLogger(__name__)

HEARTBEAT_S = 30
MAX_UNKNOWN_TYPES = 10
CLOSE_PATIENCE_S = 10
_FRAME_ID: TypeAdapter[FrameId] = TypeAdapter(FrameId)


class ChatConsumer(AsyncConsumer):
    """One socket: it has no channel of its own, the user's manager hands it what is published."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve the socket until either side closes it, and leave nothing behind."""
        self.scope = scope
        self.base_send = send
        self._unknown_types = 0
        self._end: asyncio.Future[tuple[CloseCode, str]] = asyncio.get_running_loop().create_future()
        async with AsyncExitStack() as self._stack:
            with suppress(StopConsumer):
                await await_many_dispatch([receive, self._await_end], self.dispatch)

    async def dispatch(self, message: dict[str, Any]) -> None:
        """Handle an event of the server; unlike the base class without a look at the database."""
        handlers = {
            "websocket.connect": self.websocket_connect,
            "websocket.receive": self.websocket_receive,
            "websocket.disconnect": self.websocket_disconnect,
            "socket.end": self.socket_end,
        }
        await handlers[message["type"]](message)

    async def websocket_connect(self, message: dict[str, Any]) -> None:
        """Open the socket for whoever signed in, or close it and say why."""
        sign_in: SocketSignIn = self.scope["sign_in"]
        if sign_in.forbidden:
            # A close before the accept is answered with HTTP 403.
            await self.base_send({"type": "websocket.close"})
            raise StopConsumer
        await self.base_send({"type": "websocket.accept", "subprotocol": sign_in.subprotocol})
        try:
            if sign_in.signed_in is None:
                raise sign_in.error or InvalidRequestError("The sign-in failed.")
            await self._open(sign_in.signed_in)
        except NetraError as error:
            await self._close(close_code_of(error), error.message)
        except DATABASE_ERRORS as error:
            await self._close(CloseCode.SERVER_RESTART, report_unavailable(error).message)
        except Exception:
            logger.exception("A socket could not be opened")
            await self._close(CloseCode.INTERNAL_ERROR, "The socket could not be opened.")

    async def websocket_receive(self, message: dict[str, Any]) -> None:
        """Parse a frame and have it carried out."""
        text = message.get("text")
        if text is None:
            await self._close(CloseCode.PROTOCOL_ERROR, "Frames are JSON text.")
        if len(text.encode()) > MAX_FRAME_BYTES:
            await self._close(CloseCode.PROTOCOL_ERROR, f"A frame has at most {MAX_FRAME_BYTES} bytes.")
        try:
            data = from_json(text, allow_inf_nan=False)
        except ValueError:
            data = None
        if not isinstance(data, dict):
            await self._close(CloseCode.PROTOCOL_ERROR, "A frame is a JSON object.")
        await self._handle(data)

    async def websocket_disconnect(self, message: dict[str, Any]) -> None:
        """Leave: the client is gone."""
        raise StopConsumer

    async def socket_end(self, message: dict[str, Any]) -> None:
        """Close the socket from this side, as something else has decided."""
        await self._close(message["code"], message["reason"])

    async def _open(self, signed_in: SignIn) -> None:
        connection_id = new_id()
        review = get_socket_review()
        since = review.expect()
        self._stack.push_async_callback(review.dismiss)
        opened = await call_in_thread(open_socket, signed_in.user_id, connection_id=connection_id)
        self._connection = Connection(opened.context, sign_in=signed_in, send=self._send_text)
        self._stack.push_async_callback(self._close_context)
        place = SocketPlace(self._connection, opened.lease)
        self._stack.push_async_callback(place.give_back)
        self._stack.push_async_callback(self._connection.stop)
        self._stack.callback(watch_for_quarantine(self._connection))
        manager = get_websocket_manager(opened.context)
        await manager.add_connection(connection_id, self._connection)
        self._stack.push_async_callback(manager.remove_connection, connection_id)
        self._handler = FrameHandler(self._connection)
        await self._connection.answer(_established(opened, signed_in.expires_at))
        self._connection.outbox.start()
        clock = SocketClock(self._connection, manager)
        self._stack.push_async_callback(_cancel, asyncio.create_task(clock.run(), name="socket-clock"))
        self._connection.ended.add_done_callback(self._note_end)
        self._stack.callback(review.remove, place)
        await review.add(place, since=since)

    async def _handle(self, data: dict[str, Any]) -> None:
        kind = data.get("type")
        if not isinstance(kind, str) or kind not in CLIENT_TYPES:
            self._unknown_types += 1
            await self._handler.refuse(
                _frame_id(data), InvalidRequestError("There is no such type of frame.")
            )
            if self._unknown_types >= MAX_UNKNOWN_TYPES:
                await self._close(CloseCode.PROTOCOL_ERROR, "Too many frames of unknown types.")
            return
        try:
            frame = parse_client_frame(data)
        except InvalidRequestError as error:
            await self._handler.refuse(_frame_id(data), error)
            return
        await self._handler.handle(frame)

    async def _send_text(self, text: str) -> None:
        await self.base_send({"type": "websocket.send", "text": text})

    async def _close(self, code: CloseCode, reason: str) -> NoReturn:
        """Send what is queued, close, and leave.

        Raises:
            StopConsumer: always.
        """
        if hasattr(self, "_connection"):
            await self._connection.finish()
        try:
            async with asyncio.timeout(CLOSE_PATIENCE_S):
                await self.base_send({"type": "websocket.close", "code": int(code), "reason": _short(reason)})
        except (TimeoutError, OSError):
            logger.info("A client did not take the close code %d", code)
        raise StopConsumer

    async def _close_context(self) -> None:
        await get_context_manager().cleanup_context(self._connection.context.context_id)

    def _note_end(self, ended: asyncio.Future[tuple[CloseCode, str]]) -> None:
        if not ended.cancelled() and not self._end.done():
            self._end.set_result(ended.result())

    async def _await_end(self) -> dict[str, Any]:
        code, reason = await asyncio.shield(self._end)
        return {"type": "socket.end", "code": code, "reason": reason}


def _established(opened: OpenedSocket, expires_at: datetime) -> ConnectionEstablished:
    context = opened.context
    assert context.connection_id is not None
    return ConnectionEstablished(
        connection_id=context.connection_id,
        user_id=context.user_id,
        tenant_id=context.tenant_id,
        expires_at=expires_at,
        heartbeat_s=HEARTBEAT_S,
    )


def _frame_id(data: dict[str, Any]) -> FrameId | None:
    try:
        return _FRAME_ID.validate_python(data.get("id"))
    except ValidationError:
        return None


def _short(reason: str) -> str:
    """Return a reason that fits into a close frame: 123 bytes (RFC 6455)."""
    return reason.encode()[:120].decode(errors="ignore")


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
