"""Who is told of events once they are committed."""

import logging
from collections.abc import Sequence
from typing import Protocol

from agents.events import Delta, Event

logger = logging.getLogger(__name__)


class EventSink(Protocol):
    """Takes committed events, in order within a run, and passing pieces of answers."""

    async def deliver_events(self, events: Sequence[Event]) -> None:
        """Pass `events` on to whoever watches them."""

    async def deliver_delta(self, delta: Delta) -> None:
        """Pass a piece of an answer on; it may be lost."""


_sinks: list[EventSink] = []


def register_event_sink(sink: EventSink) -> None:
    """Have `sink` told of every event from now on; registering it twice changes nothing."""
    if sink not in _sinks:
        _sinks.append(sink)


def unregister_event_sink(sink: EventSink) -> None:
    """Tell `sink` no more."""
    if sink in _sinks:
        _sinks.remove(sink)


async def publish_events(events: Sequence[Event]) -> None:
    """Tell every sink; one that fails is logged, for the event log still has the events."""
    for sink in list(_sinks):
        try:
            await sink.deliver_events(events)
        except Exception:
            logger.exception("An event sink failed: run %s, %d events", events[0].run_id, len(events))


async def publish_delta(delta: Delta) -> None:
    """Tell every sink; one that fails is logged, for the whole answer comes with the last event."""
    for sink in list(_sinks):
        try:
            await sink.deliver_delta(delta)
        except Exception:
            logger.exception("An event sink failed on a delta: run %s", delta.run_id)
