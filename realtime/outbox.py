"""A socket's bounded queue of frames, emptied by a task that lives while there are any."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextvars import Context

from contexts.tasks import end_task
from realtime.envelopes import DELTA, Envelope

CAPACITY = 256
"""Frames that wait for a client at most."""

PATIENCE_S = 10.0

SendText = Callable[[str], Awaitable[None]]


class OutboxFullError(Exception):
    """The client takes frames more slowly than they come."""


class Outbox:
    """Sends frames in order, one at a time, as fast as the client takes them.

    Pieces of answers are joined when the queue is full; frames that may not be lost and do not
    fit raise `OutboxFullError`. Belongs to one event loop.
    """

    __slots__ = ("_capacity", "_is_open", "_moved", "_queue", "_send", "_writer")

    def __init__(self, send: SendText, *, capacity: int = CAPACITY) -> None:
        """Send through `send`; hold at most `capacity` frames."""
        self._send = send
        self._capacity = capacity
        self._queue: list[str | Envelope] = []
        self._is_open = False
        self._writer: asyncio.Task[None] | None = None
        # Made by whoever waits for room, and set when frames were taken.
        self._moved: asyncio.Event | None = None

    def __len__(self) -> int:
        return len(self._queue)

    def start(self) -> None:
        """Begin to send."""
        self._is_open = True
        self._wake()

    async def drain(self, *, patience_s: float = 1.0) -> None:
        """Wait until everything is sent, but not longer than `patience_s` seconds."""
        if self._writer is not None:
            await asyncio.wait([self._writer], timeout=patience_s)

    async def stop(self) -> None:
        """Send no more; what waits is dropped."""
        self._is_open = False
        if self._writer is not None:
            await end_task(self._writer)
        self._queue.clear()
        if self._moved is not None:
            self._moved.set()

    def put(self, frame: str | Envelope) -> None:
        """Queue a frame now: JSON text, or an envelope.

        Raises:
            OutboxFullError: when there is no room even after joining pieces of answers.
        """
        if len(self._queue) >= self._capacity:
            self._queue = _joined(self._queue)
            if len(self._queue) >= self._capacity:
                if isinstance(frame, Envelope) and frame.type == DELTA:
                    return
                raise OutboxFullError
        self._queue.append(frame)
        if self._writer is None:
            self._wake()

    async def put_when_room(self, frame: str | Envelope, *, patience_s: float = PATIENCE_S) -> None:
        """Queue a frame as soon as there is room; for replays, which are as fast as the client.

        Raises:
            OutboxFullError: when the client takes nothing for `patience_s` seconds.
        """
        await self.wait_for_room(1, patience_s=patience_s)
        self.put(frame)

    async def wait_for_room(self, frames: int, *, patience_s: float = PATIENCE_S) -> None:
        """Return when so many more frames fit.

        Raises:
            OutboxFullError: when the client takes nothing for `patience_s` seconds.
        """
        while len(self._queue) + frames > self._capacity:
            self._moved = self._moved or asyncio.Event()
            self._moved.clear()
            try:
                async with asyncio.timeout(patience_s):
                    await self._moved.wait()
            except TimeoutError:
                raise OutboxFullError from None

    def _wake(self) -> None:
        if self._is_open and self._queue:
            # It may wait for a slow client while whoever put the frame has long gone on.
            self._writer = asyncio.get_running_loop().create_task(
                self._write(), name="socket-outbox", context=Context()
            )

    async def _write(self) -> None:
        try:
            while self._queue:
                frame = self._queue.pop(0)
                if self._moved is not None:
                    self._moved.set()
                await self._send(frame.text if isinstance(frame, Envelope) else frame)
        except OSError:
            # The client is gone; the server tells the consumer so by a disconnect.
            self._is_open = False
        finally:
            self._writer = None


def _joined(queue: list[str | Envelope]) -> list[str | Envelope]:
    """Return the queue with neighbouring pieces of one answer made into one."""
    joined: list[str | Envelope] = []
    for frame in queue:
        last = joined[-1] if joined else None
        if (
            isinstance(frame, Envelope)
            and isinstance(last, Envelope)
            and frame.type == last.type == DELTA
            and frame.run_id == last.run_id
            and (text := _join(last.text, frame.text)) is not None
        ):
            joined[-1] = last._replace(text=text)
        else:
            joined.append(frame)
    return joined


def _join(earlier: str, later: str) -> str | None:
    """Return one delta for two: a later piece replaces everything from its offset on."""
    first, second = json.loads(earlier), json.loads(later)
    keep = second["offset"] - first["offset"]
    if keep < 0:
        return later
    if keep > len(first["text"]):
        return None
    return json.dumps({**first, "text": first["text"][:keep] + second["text"]}, ensure_ascii=False)
