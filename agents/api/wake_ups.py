"""Waking whoever waits for a run's next event, when this process publishes one."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from uuid import UUID

from agents.event_sinks import register_event_sink, unregister_event_sink
from agents.events import Delta, Event
from contexts.context import UserExecutionContext


class WakeUp:
    """Set, in the event loop that waits for it, when the run it belongs to has a new event."""

    def __init__(self) -> None:
        """Wait in the running loop."""
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()

    def ring(self) -> None:
        """Wake the one who waits; from any thread."""
        with suppress(RuntimeError):  # its loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._event.set)

    def prepare(self) -> None:
        """Forget what has rung so far; called before looking, so that nothing that comes later is missed."""
        self._event.clear()

    async def wait(self, seconds: float) -> None:
        """Return as soon as it rings, or has rung since `prepare`, at the latest after `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return


class _WakeUpSink:
    """The event sink behind all wake-ups; registered while anybody waits."""

    def __init__(self) -> None:
        self._wake_ups: dict[UUID, set[WakeUp]] = {}
        self._lock = threading.Lock()

    def add(self, run_id: UUID, wake_up: WakeUp) -> None:
        with self._lock:
            self._wake_ups.setdefault(run_id, set()).add(wake_up)
            register_event_sink(self)

    def remove(self, run_id: UUID, wake_up: WakeUp) -> None:
        with self._lock:
            self._wake_ups[run_id].discard(wake_up)
            if not self._wake_ups[run_id]:
                del self._wake_ups[run_id]
            if not self._wake_ups:
                unregister_event_sink(self)

    def deliver_events(self, events: Sequence[Event], context: UserExecutionContext | None) -> None:
        with self._lock:
            ringing = list(self._wake_ups.get(events[0].run_id, ()))
        for wake_up in ringing:
            wake_up.ring()

    def deliver_delta(self, delta: Delta, context: UserExecutionContext) -> None:
        """Pieces of answers are not numbered events."""

    async def flush(self) -> None:
        """Nothing is under way once `deliver_events` has returned."""


_sink = _WakeUpSink()


@contextmanager
def woken_by_events(run_id: UUID) -> Iterator[WakeUp]:
    """Yield what rings whenever this process publishes an event of the run, until the block is left.

    Events that other processes publish do not ring: the event log must be looked at now and then.
    """
    wake_up = WakeUp()
    _sink.add(run_id, wake_up)
    try:
        yield wake_up
    finally:
        _sink.remove(run_id, wake_up)
