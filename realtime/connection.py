"""One signed-in socket: what it watches, what it is sent, and when it ends."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from uuid import UUID

from agents.events import Event
from contexts.context import UserExecutionContext
from contexts.database import call_in_thread
from contexts.exceptions import NetraError, NotFoundError
from contexts.tasks import end_task
from realtime.auth import SignIn
from realtime.envelopes import Envelope, check_owner
from realtime.feed import RunFeed, Verdict
from realtime.frame_services import read_events
from realtime.outbox import Outbox, OutboxFullError, SendText
from realtime.protocol import CloseCode, Frame, SessionRevoked, close_code_of, encode_frame

logger = logging.getLogger(__name__)

MAX_HELD = 4_096
"""Envelopes kept back at most while a frame is answered or a gap is filled."""
AT_ONCE = 64
"""Envelopes that are passed on before the client has taken some."""
TOO_SLOW = "Frames were not taken fast enough; resume."


class Connection:
    """A socket's own state; lives from sign-in to close.

    What arrives for the user is filtered to the watched threads, put in order, and queued. While a
    frame is being answered, or a gap filled from the event log, what arrives is held back.
    """

    __slots__ = (
        *("__weakref__", "_held", "_holds", "_repairs", "_replay_lock", "context", "ended", "feed", "loop"),
        *("due_at", "noticed_expiry", "outbox", "renewed_at", "sign_in"),
    )

    def __init__(self, context: UserExecutionContext, *, sign_in: SignIn, send: SendText) -> None:
        """Belong to `context`'s user for as long as `sign_in` lasts; send text frames through `send`."""
        self.context = context
        self.sign_in = sign_in
        self.feed = RunFeed()
        self.outbox = Outbox(send)
        self.loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[tuple[CloseCode, str]] = self.loop.create_future()
        self.due_at = context.created_at
        """When the clock has something to do for it next (UTC)."""
        self.noticed_expiry: datetime | None = None
        """The end of the sign-in that the client was told of."""
        self.renewed_at = context.created_at
        """When the context was last given another time to live (UTC)."""
        self._holds = 0
        self._held: list[Envelope] = []
        self._replay_lock = asyncio.Lock()
        self._repairs: set[asyncio.Task[None]] = set()

    @property
    def user_id(self) -> UUID:
        """Return whose socket it is."""
        return self.context.user_id

    @property
    def is_reading(self) -> bool:
        """Tell whether events are being read from the log."""
        return bool(self._repairs)

    def end(self, code: CloseCode, reason: str) -> None:
        """Have the socket closed with `code`; the first call decides."""
        if not self.ended.done():
            self.ended.set_result((code, reason))

    def end_from_any_thread(self, code: CloseCode, reason: str) -> None:
        """Have the socket closed as `end` does, from outside of its event loop."""
        self.loop.call_soon_threadsafe(self.end, code, reason)

    def revoke(self, reason: str) -> None:
        """Tell the client that its sign-in was ended, and have the socket closed with 4401; never waits."""
        if self.ended.done():
            return
        with suppress(OutboxFullError):  # the close code says it too
            self.outbox.put(encode_frame(SessionRevoked(user_id=self.user_id, reason=reason)))
        self.end(CloseCode.NOT_SIGNED_IN, reason)

    @property
    def expires_at(self) -> datetime:
        """Return when the sign-in ends (UTC)."""
        return self.sign_in.expires_at

    def refuse(self, error: NetraError) -> None:
        """Have the socket closed because of what its user may not do any more; never waits."""
        code = close_code_of(error)
        if code == CloseCode.NOT_SIGNED_IN:
            self.revoke(error.message)
        else:
            self.end(code, error.message)

    def extend(self, sign_in: SignIn) -> None:
        """Note that the same user has signed in anew, and stays for longer."""
        self.sign_in = sign_in
        self.due_at = self.context.created_at  # at once: the clock reckons anew

    async def finish(self) -> None:
        """Send what is queued, as far as the client takes it at once, and stop."""
        await self.outbox.drain()
        await self.stop()

    async def stop(self) -> None:
        """Stop sending and reading; the socket is gone."""
        for task in list(self._repairs):
            await end_task(task)
        await self.outbox.stop()

    async def answer(self, frame: Frame) -> None:
        """Queue a frame for this socket alone, waiting for room."""
        await self._when_room(encode_frame(frame))

    def deliver(self, envelopes: Sequence[Envelope]) -> None:
        """Take what was published for the user; never waits. Nothing follows what ends the socket."""
        if self.ended.done():
            return
        check_owner(envelopes, self.user_id)
        if self._holds == 0:
            self._process(envelopes)
        elif len(self._held) + len(envelopes) > MAX_HELD:
            self.end(CloseCode.TOO_SLOW, "Too many events at once; resume.")
        else:
            self._held.extend(envelopes)

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        """Hold back what arrives until the block is left."""
        self._holds += 1
        try:
            yield
        finally:
            await self._release()

    async def replay(self, events: Sequence[Event]) -> None:
        """Send events read from the log that the socket has not been sent, waiting for room."""
        async with self._replay_lock:
            for event in events:
                envelope = Envelope.of_event(event)
                if self.feed.take(envelope, now=time.monotonic()) is Verdict.SEND:
                    await self._when_room(envelope)

    async def backfill(self, events: Sequence[Event]) -> None:
        """Send events older than the first that the socket was sent, waiting for room."""
        async with self._replay_lock:
            for event in events:
                await self._when_room(Envelope.of_event(event))

    def read_log(self, run_id: UUID) -> None:
        """Have a run's events that were not heard read from the log, and later ones held back meanwhile."""
        self._holds += 1
        task = asyncio.create_task(self._fill_gap(run_id), name="socket-gap")
        self._repairs.add(task)
        task.add_done_callback(self._repairs.discard)

    def _process(self, envelopes: Sequence[Envelope]) -> None:
        now = time.monotonic()
        for index, envelope in enumerate(envelopes):
            verdict = self.feed.take(envelope, now=now)
            if verdict is Verdict.GAP and envelope.run_id is not None:
                self._held[:0] = envelopes[index:]
                self.read_log(envelope.run_id)
                return
            if verdict is Verdict.SEND:
                try:
                    self.outbox.put(envelope)
                except OutboxFullError:
                    self.end(CloseCode.TOO_SLOW, TOO_SLOW)
                    return
                if envelope.type == "session_revoked":
                    self.end(CloseCode.NOT_SIGNED_IN, "The sign-in was ended.")
                    return

    async def _fill_gap(self, run_id: UUID) -> None:
        after = self.feed.last_sent(run_id)
        try:
            events = await call_in_thread(read_events, self.user_id, run_id, after=after)
            await self.replay(events)
            self.feed.note_heard(run_id, now=time.monotonic())
            next_seq = self.feed.last_sent(run_id) + 1
            waiting = [held.seq for held in self._held if held.run_id == run_id and held.seq is not None]
            if waiting and waiting[0] > next_seq:
                raise LookupError(f"The event log has no event {next_seq}.")
        except NotFoundError:
            # Deleted meanwhile: nothing more will come, and nothing is missing.
            self.feed.forget(run_id)
            self._held = [envelope for envelope in self._held if envelope.run_id != run_id]
        except NetraError as error:
            self.refuse(error)
        except Exception:
            logger.exception("The events of run %s after %d could not be read", run_id, after)
            self.end(CloseCode.TOO_SLOW, "Events could not be read; resume.")
        finally:
            await self._release()

    async def _release(self) -> None:
        """End one hold; with the last one, pass on what was held back as fast as the client takes it."""
        try:
            while self._holds == 1 and self._held and not self.ended.done():
                some, self._held = self._held[:AT_ONCE], self._held[AT_ONCE:]
                self._process(some)
                await self.outbox.wait_for_room(AT_ONCE)
        except OutboxFullError:
            self.end(CloseCode.TOO_SLOW, TOO_SLOW)
        finally:
            self._holds -= 1

    async def _when_room(self, frame: str | Envelope) -> None:
        try:
            await self.outbox.put_when_room(frame)
        except OutboxFullError:
            self.end(CloseCode.TOO_SLOW, TOO_SLOW)
