"""The socket's consumer: opens, parses, hands on, and closes."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from contexts.exceptions import InvalidRequestError, NetraError, RateLimitedError
from contexts.identifiers import new_id
from realtime.auth import SignIn, SocketSignIn
from realtime.frames import FrameHandler
from realtime.open_socket import OpenSocket
from realtime.protocol import (
    CLIENT_TYPES,
    MAX_FRAME_BYTES,
    CloseCode,
    FrameId,
    close_code_of,
    parse_client_frame,
)
from realtime.unavailable import DATABASE_ERRORS, report_unavailable

logger = logging.getLogger(__name__)

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

MAX_UNKNOWN_TYPES = 10
FRAMES_PER_S = 50.0
FRAMES_AT_ONCE = 200.0
"""Frames that a client may send in one go; then `FRAMES_PER_S` more each second."""
MAX_REFUSED = 500
"""Frames above that rate which are answered before the socket is closed."""
CLOSE_PATIENCE_S = 1
_FRAME_ID: TypeAdapter[FrameId] = TypeAdapter(FrameId)


class ProtocolError(Exception):
    """The client does not speak the protocol; the message is the reason to close with."""


class ChatConsumer:
    """One socket: it has no channel of its own, the user's manager hands it what is sent.

    While it is idle, one task waits for the client and none for anything else.
    """

    __slots__ = ("_closing", "_main", "_receive", "_send", "_sign_in")

    def __init__(self, sign_in: SocketSignIn, receive: Receive, send: Send) -> None:
        """Serve whoever `sign_in` says; `receive` and `send` are ASGI's."""
        self._sign_in = sign_in
        self._receive, self._send = receive, send
        self._closing: asyncio.Task[None] | None = None
        self._main: asyncio.Task[Any] | None = None

    async def serve(self) -> None:
        """Serve the socket until either side closes it, and leave nothing behind."""
        await self._receive()  # websocket.connect
        sign_in = self._sign_in
        if sign_in.forbidden:
            # A close before the accept is answered with HTTP 403.
            await self._send({"type": "websocket.close"})
            return
        await self._send({"type": "websocket.accept", "subprotocol": sign_in.subprotocol})
        if sign_in.signed_in is None:
            assert sign_in.error is not None
            await self._close(close_code_of(sign_in.error), sign_in.error.message)
            return
        socket = OpenSocket(self._send_text)
        try:
            if await self._open(socket, sign_in.signed_in):
                await self._listen(socket)
        finally:
            await socket.leave()

    async def _open(self, socket: OpenSocket, signed_in: SignIn) -> bool:
        try:
            await socket.open(signed_in)
        except NetraError as error:
            await self._close(close_code_of(error), error.message)
        except DATABASE_ERRORS as error:
            await self._close(CloseCode.SERVER_RESTART, report_unavailable(error).message)
        except Exception:
            incident_id = new_id()
            logger.exception("Incident %s: a socket of user %s failed", incident_id, signed_in.user_id)
            await self._close(
                CloseCode.INTERNAL_ERROR, f"Something went wrong; recorded as incident {incident_id}."
            )
        else:
            return True
        return False

    async def _listen(self, socket: OpenSocket) -> None:
        """Carry out the client's frames, one after the other, until either side ends the socket."""
        connection = socket.connection
        reader = _FrameReader(FrameHandler(connection))
        connection.ended.add_done_callback(lambda _: self._begin_close(socket))
        try:
            while not connection.ended.done():
                message = await self._next_message()
                if message is None:
                    break
                if message["type"] == "websocket.disconnect":
                    return
                await reader.take(message)
        except ProtocolError as error:
            connection.end(CloseCode.PROTOCOL_ERROR, str(error))
        # It may have been ended while it was opened, or by the last frame.
        self._begin_close(socket)
        if self._closing is not None:
            await self._closing

    async def _next_message(self) -> dict[str, Any] | None:
        """Return what comes from the client; none when the socket was closed from this side meanwhile."""
        self._main = asyncio.current_task()
        try:
            return await self._receive()
        except asyncio.CancelledError:
            if self._closing is None or self._main is None or self._main.uncancel():
                raise
            return None
        finally:
            self._main = None

    def _begin_close(self, socket: OpenSocket) -> None:
        if self._closing is None and not socket.is_left:
            self._closing = asyncio.get_running_loop().create_task(self._end(socket), name="socket-close")

    async def _end(self, socket: OpenSocket) -> None:
        """Close as something else has decided: what is queued is sent first."""
        code, reason = socket.connection.ended.result()
        await socket.connection.finish()
        await self._close(code, reason)
        if self._main is not None:
            self._main.cancel()

    async def _close(self, code: CloseCode, reason: str) -> None:
        try:
            async with asyncio.timeout(CLOSE_PATIENCE_S):
                await self._send({"type": "websocket.close", "code": int(code), "reason": _short(reason)})
        except (TimeoutError, OSError):
            logger.info("A client did not take the close code %d", code)

    async def _send_text(self, text: str) -> None:
        await self._send({"type": "websocket.send", "text": text})


class _FrameReader:
    """Makes frames of what one client sends, no more of them than are allowed."""

    __slots__ = ("_allowed", "_counted_at", "_handler", "_refused", "_unknown_types")

    def __init__(self, handler: FrameHandler) -> None:
        self._handler = handler
        self._unknown_types = 0
        self._refused = 0
        self._allowed = FRAMES_AT_ONCE
        self._counted_at = time.monotonic()

    async def take(self, message: dict[str, Any]) -> None:
        """Carry out or refuse what one message says.

        Raises:
            ProtocolError: when it is no frame, or there were too many of its kind.
        """
        text = message.get("text")
        if text is None:
            raise ProtocolError("Frames are JSON text.")
        if len(text) > MAX_FRAME_BYTES or len(text.encode()) > MAX_FRAME_BYTES:
            raise ProtocolError(f"A frame has at most {MAX_FRAME_BYTES} bytes.")
        try:
            data = from_json(text, allow_inf_nan=False)
        except ValueError:
            data = None
        if not isinstance(data, dict):
            raise ProtocolError("A frame is a JSON object.")
        if not self._is_in_time():
            await self._refuse_for_haste(data)
            return
        kind = data.get("type")
        if not isinstance(kind, str) or kind not in CLIENT_TYPES:
            await self._refuse_type(data)
            return
        try:
            frame = parse_client_frame(data)
        except InvalidRequestError as error:
            await self._handler.refuse(_frame_id(data), error)
            return
        await self._handler.handle(frame)

    def _is_in_time(self) -> bool:
        now = time.monotonic()
        self._allowed = min(FRAMES_AT_ONCE, self._allowed + (now - self._counted_at) * FRAMES_PER_S)
        self._counted_at = now
        if self._allowed < 1:
            return False
        self._allowed -= 1
        return True

    async def _refuse_for_haste(self, data: dict[str, Any]) -> None:
        self._refused += 1
        if self._refused > MAX_REFUSED:
            raise ProtocolError("Too many frames at once.")
        refusal = RateLimitedError(
            "Frames come too fast; slow down.",
            resource="frames",
            limit=int(FRAMES_PER_S),
            used=int(FRAMES_PER_S),
            resets_at=None,
        )
        await self._handler.refuse(_frame_id(data), refusal)

    async def _refuse_type(self, data: dict[str, Any]) -> None:
        self._unknown_types += 1
        await self._handler.refuse(_frame_id(data), InvalidRequestError("There is no such type of frame."))
        if self._unknown_types >= MAX_UNKNOWN_TYPES:
            raise ProtocolError("Too many frames of unknown types.")


def _frame_id(data: dict[str, Any]) -> FrameId | None:
    try:
        return _FRAME_ID.validate_python(data.get("id"))
    except ValidationError:
        return None


def _short(reason: str) -> str:
    """Return a reason that fits into a close frame: 123 bytes (RFC 6455)."""
    return reason.encode()[:120].decode(errors="ignore")
