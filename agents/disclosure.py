"""What of tool calls and thoughts may be told: without secrets, and not more than fits an event.

Values enter the event log through here. The tools and the models that call them get them as they are.
"""

from dataclasses import dataclass
from typing import Any

from pydantic_core import PydanticSerializationError, to_json

from agents.cutting import Measure, cut, cut_text
from agents.storable import storable
from contexts.redaction import DEPTH_LIMIT, may_hold_secret, redact, redact_text

EVENT_MEASURE = Measure(size=32 * 1024, text=4_000, items=200)
"""What an event carries of a call's parameters, and of its result. The tables of ordinary results (at most
200 rows, mostly below 20 KB) are within it."""
KEPT_MEASURE = Measure(size=1024 * 1024, text=1024 * 1024, items=200_000)
"""What is kept of each besides, when the event's is cut."""
MAX_THOUGHT_LENGTH = 500
SECRET_PARAMETERS = frozenset({"key"})
"""Names that hold secrets among parameters, though in results they may name a group."""

# JSON of at most this many bytes can neither hold a text nor a list to be cut.
_SMALL = 400


@dataclass(frozen=True, slots=True)
class Disclosure:
    """A value as it may be told."""

    told: Any
    """For the event."""
    kept: Any
    """All of it that is kept; the same when the event's is not cut."""

    @property
    def is_cut(self) -> bool:
        """Return whether the event has less than there is."""
        return self.told is not self.kept


def disclose(value: Any, *, secret_names: frozenset[str] = frozenset()) -> Disclosure:
    """Return JSON-like `value` as it may be told: no secrets, bounded, and storable.

    Values below one of `secret_names` are secrets besides those that `contexts.redaction.redact` knows.
    """
    text = _text_of(value)
    if text is None or may_hold_secret(text) or _may_nest_deep(text):
        value = storable(redact(value, secret_names=secret_names))
        text = _text_of(value)
    if text is not None and len(text) <= _SMALL:
        return Disclosure(value, value)
    told = cut(value, EVENT_MEASURE)
    if told == value:
        return Disclosure(value, value)
    return Disclosure(told, cut(value, KEPT_MEASURE))


def disclose_thought(text: str) -> str:
    """Return an agent's thought as it may be told."""
    return cut_text(redact_text(text), MAX_THOUGHT_LENGTH)


def _text_of(value: Any) -> str | None:
    """Return the JSON of `value`; none when it cannot be written or stored as it is."""
    try:
        text = to_json(value, inf_nan_mode="null").decode()
    except (PydanticSerializationError, ValueError, RecursionError):
        return None
    return None if "\\u0000" in text else text


def _may_nest_deep(text: str) -> bool:
    return text.count("{") + text.count("[") > DEPTH_LIMIT
