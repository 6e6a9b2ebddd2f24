"""Who is told of events once they are committed."""

import logging
from collections.abc import Sequence
from typing import Protocol

from agents.events import Delta, Event
from contexts.context import UserExecutionContext

logger = logging.getLogger(__name__)


class EventSink(Protocol):
    """Takes committed events, in order within a run, and passing pieces of answers; never waits."""

    def deliver_events(self, events: Sequence[Event], context: UserExecutionContext | None) -> None:
        """Pass one run's `events` on to whoever watches it; called in an event loop.

        `context` is the run's, while there is one: a run that ends before it began has none.
        """

    def deliver_delta(self, delta: Delta, context: UserExecutionContext) -> None:
        """Pass a piece of an answer on; it may be lost."""

    async def flush(self) -> None:
        """Return when what was delivered so far has left, or was given up."""


_sinks: list[EventSink] = []


def register_event_sink(sink: EventSink) -> None:
    """Have `sink` told of every event from now on; registering it twice changes nothing."""
    if sink not in _sinks:
        _sinks.append(sink)


def unregister_event_sink(sink: EventSink) -> None:
    """Tell `sink` no more."""
    if sink in _sinks:
        _sinks.remove(sink)


def hand_events(events: Sequence[Event], context: UserExecutionContext | None) -> None:
    """Tell every sink of one run's events; a sink that fails is logged, for the log still has the events."""
    for sink in list(_sinks):
        try:
            sink.deliver_events(events, context)
        except Exception:
            logger.exception("An event sink failed: run %s, %d events", events[0].run_id, len(events))


def hand_delta(delta: Delta, context: UserExecutionContext) -> None:
    """Tell every sink; one that fails is logged, for the whole answer comes with the last event."""
    for sink in list(_sinks):
        try:
            sink.deliver_delta(delta, context)
        except Exception:
            logger.exception("An event sink failed on a delta: run %s", delta.run_id)


async def flush_sinks() -> None:
    """Return when what was handed over so far has left this process, or was given up."""
    for sink in list(_sinks):
        try:
            await sink.flush()
        except Exception:
            logger.exception("An event sink could not be flushed")


async def publish_event(event: Event, context: UserExecutionContext | None = None) -> None:
    """Tell every sink, and return when the event has left; for callers whose event loop may end then."""
    hand_events([event], context)
    await flush_sinks()
