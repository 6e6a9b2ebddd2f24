"""One question over the real socket: asked, followed to its end, resumed when the socket breaks."""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import UUID

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from contexts.exceptions import NetraError, NotAuthenticatedError, PermissionDeniedError, UnavailableError
from realtime.protocol import MEANINGS, PROTOCOL, TERMINAL_TYPES, CloseCode
from realtime.terminal.api import is_loopback
from realtime.terminal.waiting import WaitWatch

Frame = dict[str, Any]
ShowFrame = Callable[[str, Frame], None]
"""Is given every frame of the server as it came, and parsed."""

MAX_FRAME_BYTES = 64 * 2**20
RECONNECT_DELAYS_S = (0.2, 0.5, 1.0, 2.0, 4.0)
_FINAL_CODES: dict[int, type[NetraError]] = {
    CloseCode.PROTOCOL_ERROR: UnavailableError,
    CloseCode.NOT_SIGNED_IN: NotAuthenticatedError,
    CloseCode.NOT_ALLOWED: PermissionDeniedError,
    CloseCode.TOO_MANY_CONNECTIONS: PermissionDeniedError,
}


class Conversation:
    """Asks one question and follows its run; `cancel` stops the run, not the following."""

    def __init__(self, url: str, token: str, *, show: ShowFrame, waits: WaitWatch | None = None) -> None:
        """Connect to the server at `url` with an access token; `show` every frame.

        With `waits` the server is asked what the run waits for, for as long as it is queued.
        """
        self._url = url.replace("http", "ws", 1) + "/ws/chat/"
        self._token = token
        self._show = show
        self._waits = waits
        self._socket: ClientConnection | None = None
        self._run_id: str | None = None
        self._last_seq = 0
        self._is_cancelled = False

    async def ask(self, text: str, *, thread_id: UUID | None, dataset_ids: list[UUID]) -> Frame:
        """Ask and return the frame that ends the run.

        Raises:
            NetraError: with the server's own words when it refuses the question.
            NotAuthenticatedError, PermissionDeniedError: when the server closes the socket for good.
            UnavailableError: when the socket cannot be opened, or not again.
        """
        question = {
            "type": "send_message",
            "id": "question",
            "thread_id": str(thread_id) if thread_id else None,
            "text": text,
            "dataset_ids": [str(item) for item in dataset_ids],
        }
        for delay in (*RECONNECT_DELAYS_S, None):
            try:
                async with self._connected() as socket:
                    self._socket = socket
                    return await self._follow(socket, question)
            except ConnectionClosed as error:
                code = error.rcvd.code if error.rcvd else None
                final = _FINAL_CODES.get(code or 0)
                if final is not None:
                    raise final(_reason(error)) from error
                if delay is None or self._run_id is None:
                    raise UnavailableError(f"The connection broke: {_reason(error)}") from error
            except (OSError, TimeoutError, InvalidHandshake) as error:
                if delay is None or self._run_id is None:
                    raise UnavailableError(f"{self._url} cannot be reached: {_explain(error)}.") from error
            finally:
                self._socket = None
            await asyncio.sleep(delay)
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def cancel(self) -> None:
        """Ask the server to stop the run, now or as soon as it has one."""
        self._is_cancelled = True
        if self._socket is not None and self._run_id is not None:
            with suppress(ConnectionClosed):
                await _send(self._socket, {"type": "cancel_run", "id": "cancel", "run_id": self._run_id})

    def _connected(self) -> connect:
        return connect(
            self._url,
            subprotocols=[PROTOCOL, f"bearer.{self._token}"],  # type: ignore[list-item]
            max_size=MAX_FRAME_BYTES,
            proxy=None if is_loopback(self._url) else True,
            open_timeout=15,
        )

    async def _follow(self, socket: ClientConnection, question: Frame) -> Frame:
        async for text in socket:
            frame = json.loads(text)
            self._show(str(text), frame)
            match frame["type"]:
                case "connection_established" if self._run_id is None:
                    await _send(socket, question)
                case "connection_established":
                    cursors = {self._run_id: self._last_seq}
                    await _send(socket, {"type": "resume", "id": "resume", "cursors": cursors})
                case "ack" if frame["id"] == "question":
                    self._run_id = frame["run_id"]
                    if self._is_cancelled:
                        await self.cancel()
                case "error" if frame["id"] != "cancel":
                    raise _refusal(frame)
                case kind if frame.get("run_id") == self._run_id and "seq" in frame:
                    self._last_seq = frame["seq"]
                    await self._follow_wait(kind)
                    if kind in TERMINAL_TYPES:
                        return frame
        raise ConnectionClosed(socket.protocol.close_rcvd, socket.protocol.close_sent)

    async def _follow_wait(self, kind: str) -> None:
        if self._waits is None:
            return
        if kind == "run_queued":
            self._waits.begin(UUID(self._run_id))
        else:
            await self._waits.end()


async def _send(socket: ClientConnection, frame: Frame) -> None:
    await socket.send(json.dumps(frame))


def _refusal(frame: Frame) -> NetraError:
    error = NetraError(frame["message"])
    error.code = frame["code"]  # type: ignore[misc]
    return error


def _reason(error: ConnectionClosed) -> str:
    if error.rcvd is None:
        return "it ended without a word."
    meaning = MEANINGS.get(error.rcvd.code)  # type: ignore[call-overload]
    return error.rcvd.reason or meaning or f"close code {error.rcvd.code}."


def _explain(error: Exception) -> str:
    if isinstance(error, InvalidStatus):
        return f"the handshake was answered with HTTP {error.response.status_code}"
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    return str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
