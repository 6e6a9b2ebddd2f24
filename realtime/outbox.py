"""A socket's bounded queue of frames, emptied by one task."""

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress

from realtime.envelopes import Envelope

CAPACITY = 256
"""Frames that wait for a client at most."""

SendText = Callable[[str], Awaitable[None]]


class OutboxFullError(Exception):
    """The client takes frames more slowly than they come."""


class Outbox:
    """Sends frames in order, one at a time, as fast as the client takes them.

    Pieces of answers are joined when the queue is full; frames that may not be lost and do not
    fit raise `OutboxFullError`.
    """

    def __init__(self, send: SendText, *, capacity: int = CAPACITY) -> None:
        """Send through `send`; hold at most `capacity` frames."""
        self._send = send
        self._capacity = capacity
        self._queue: deque[str | Envelope] = deque()
        self._filled = asyncio.Event()
        self._roomy = asyncio.Event()
        self._roomy.set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._queue)

    def start(self) -> None:
        """Begin to send."""
        self._task = asyncio.create_task(self._write(), name="socket-outbox")

    async def drain(self, *, patience_s: float = 1.0) -> None:
        """Wait until everything is sent, but not longer than `patience_s` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await self._idle.wait()

    async def stop(self) -> None:
        """Send no more; what waits is dropped."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        self._queue.clear()
        self._roomy.set()

    def put(self, frame: str | Envelope) -> None:
        """Queue a frame now: JSON text, or an envelope.

        Raises:
            OutboxFullError: when there is no room even after joining pieces of answers.
        """
        if len(self._queue) >= self._capacity:
            self._join_deltas()
            if len(self._queue) >= self._capacity:
                if isinstance(frame, Envelope) and frame.type == "message_delta":
                    return
                raise OutboxFullError
        self._append(frame)

    async def put_when_room(self, frame: str | Envelope, *, patience_s: float = 10.0) -> None:
        """Queue a frame as soon as there is room; for replays, which are as fast as the client.

        Raises:
            OutboxFullError: when the client takes nothing for `patience_s` seconds.
        """
        try:
            async with asyncio.timeout(patience_s):
                while len(self._queue) >= self._capacity:
                    self._roomy.clear()
                    await self._roomy.wait()
        except TimeoutError:
            raise OutboxFullError from None
        self._append(frame)

    def _append(self, frame: str | Envelope) -> None:
        self._queue.append(frame)
        self._idle.clear()
        self._filled.set()

    async def _write(self) -> None:
        while True:
            while self._queue:
                frame = self._queue.popleft()
                self._roomy.set()
                try:
                    await self._send(frame.text if isinstance(frame, Envelope) else frame)
                except OSError:
                    # The client is gone; the server tells the consumer so by a disconnect.
                    self._idle.set()
                    return
            self._idle.set()
            self._filled.clear()
            await self._filled.wait()

    def _join_deltas(self) -> None:
        joined: deque[str | Envelope] = deque()
        for frame in self._queue:
            last = joined[-1] if joined else None
            if (
                isinstance(frame, Envelope)
                and isinstance(last, Envelope)
                and frame.type == last.type == "message_delta"
                and frame.run_id == last.run_id
                and (text := _join(last.text, frame.text)) is not None
            ):
                joined[-1] = Envelope(
                    user_id=last.user_id,
                    type=last.type,
                    text=text,
                    run_id=last.run_id,
                    thread_id=last.thread_id,
                )
            else:
                joined.append(frame)
        self._queue = joined


def _join(earlier: str, later: str) -> str | None:
    """Return one delta for two: a later piece replaces everything from its offset on."""
    first, second = json.loads(earlier), json.loads(later)
    keep = second["offset"] - first["offset"]
    if keep < 0:
        return later
    if keep > len(first["text"]):
        return None
    return json.dumps({**first, "text": first["text"][:keep] + second["text"]}, ensure_ascii=False)
