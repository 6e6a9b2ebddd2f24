"""What earlier attempts at a run have told its user already, so that it is told once."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

BEGINNINGS = frozenset(("agent_started", "run_resumed"))


class ToldEvent(NamedTuple):
    """An event of an earlier attempt."""

    type: str
    agent_name: str
    data: Mapping[str, Any]
    created_at: datetime


class Told:
    """Knows events by what they say: an attempt that goes through the run again tells only what is new."""

    def __init__(self, events: Iterable[ToldEvent] = ()) -> None:
        """Remember `events`, in their order."""
        events = tuple(events)
        self._left = Counter(_identity(event.type, event.agent_name, event.data) for event in events)
        self.thoughts = max((e.data.get("step", 0) for e in events if e.type == "agent_thinking"), default=0)
        """The number of the last thought."""
        self.worked_seconds = _worked_seconds(events)
        """How long the earlier attempts worked, as far as their events show it."""
        ended = {event.data["call_id"] for event in events if event.type == "tool_completed"}
        self.open_calls = {
            event.data["call_id"]: event
            for event in events
            if event.type == "tool_executing" and event.data["call_id"] not in ended
        }
        """Calls that were begun and of which no end was told, by their ids."""

    def take(self, event_type: str, agent_name: str, data: Mapping[str, Any]) -> bool:
        """Note that an event is to be told; return whether it was told before, as often as it was."""
        if event_type == "tool_completed":
            self.open_calls.pop(data["call_id"], None)
        if not self._left:
            return False
        identity = _identity(event_type, agent_name, data)
        if identity not in self._left:
            return False
        self._left[identity] -= 1
        if not self._left[identity]:
            del self._left[identity]
        return True


def _identity(event_type: str, agent_name: str, data: Mapping[str, Any]) -> tuple[str, ...]:
    match event_type:
        case "agent_thinking":
            return event_type, agent_name, data["text"]
        case "tool_executing" | "tool_completed":
            return event_type, data["call_id"]
        case "run_resumed":
            return event_type, str(data["attempt"])
        case _:
            return event_type, agent_name


def _worked_seconds(events: Iterable[ToldEvent]) -> float:
    """Return the sum of the times from each attempt's first event to its last."""
    worked = 0.0
    before: datetime | None = None
    for event in events:
        if event.type == "run_queued":
            continue
        if before is not None and event.type not in BEGINNINGS:
            worked += (event.created_at - before).total_seconds()
        before = event.created_at
    return worked
