"""Conditions of a question as the WHERE clause of a query."""

import re
from collections.abc import Iterable
from datetime import date, timedelta

from agents.analysis.results import DatasetDescription

from .conditions import Condition

_CLOCK = re.compile(r"(\d{1,2})(?::(\d{2}))?(?::(\d{2}))?\s*([ap])?")
_HOURS = 24
_MINUTES = 60


def write_filter(condition: Condition, description: DatasetDescription) -> str | None:
    """Write a condition as a boolean SQL expression on the rows of a log.

    Times are UTC; the end of a range of times is left out of it. Returns None when the log does not hold
    what the condition asks for, or when no rule expresses it.
    """
    match condition.kind:
        case "model" if description.names_models:
            return _model_filter(condition.low)
        case "name" if description.projects:
            return f"lower(project) = {_quote(condition.low)}"
    if description.time.is_relative or description.time.span_seconds is None:
        return None
    low, high = condition.low, condition.high
    match condition.kind:
        case "clock" | "clock_range" | "after" | "before":
            return _clock_filter(condition.kind, _seconds(low), _seconds(high), has_minutes=":" in low)
        case "date" | "date_range":
            return _date_filter(low, high or low)
        # "Last Monday" is one Monday, and which one it is the log cannot tell.
        case "weekday" if not re.match(r"(last|this)\b", condition.written.lower()):
            return f"lower(dayname(requested_at)) = {_quote(low)}"
        case "weekend" if not re.match(r"(last|this)\b", condition.written.lower()):
            return "isodow(requested_at) >= 6"
    return None


def split_conditions(
    conditions: Iterable[Condition], description: DatasetDescription
) -> tuple[dict[Condition, str], list[Condition]]:
    """Return the filters of those conditions that can be expressed, and those that cannot."""
    filters: dict[Condition, str] = {}
    others = []
    for condition in conditions:
        expression = write_filter(condition, description)
        if expression is None:
            others.append(condition)
        else:
            filters[condition] = expression
    return filters, others


def _model_filter(model: str) -> str:
    hyphenated = re.sub(r"\s+", "-", model.lower()).rpartition("/")[2]
    pattern = rf"(.*/)?{re.escape(hyphenated)}(-\d{{4}}-?\d{{2}}-?\d{{2}})?"
    return f"regexp_full_match(lower(model), {_quote(pattern)})"


def _clock_filter(kind: str, low: int | None, high: int | None, *, has_minutes: bool) -> str | None:
    of_day = "(hour(requested_at) * 3600 + minute(requested_at) * 60 + second(requested_at))"
    if kind == "before":
        return None if high is None else f"{of_day} < {high}"
    if low is None:
        return None
    if kind == "after":
        return f"{of_day} >= {low}"
    if kind == "clock":
        high = low + (60 if has_minutes else 3600)
    if high is None:
        return None
    joined = "AND" if low < high else "OR"
    return f"({of_day} >= {low} {joined} {of_day} < {high})"


def _seconds(written: str) -> int | None:
    """Return the seconds since midnight of a time of day; None for none."""
    if written in {"noon", "midnight"}:
        return 12 * 3600 if written == "noon" else 0
    match = _CLOCK.match(written)
    if match is None:
        return None
    hours, minutes, seconds = int(match[1]), int(match[2] or 0), int(match[3] or 0)
    if match[4]:
        hours = hours % 12 + (12 if match[4] == "p" else 0)
    valid = hours <= _HOURS and minutes < _MINUTES and seconds < _MINUTES
    return hours * 3600 + minutes * 60 + seconds if valid else None


def _date_filter(low: str, high: str) -> str | None:
    try:
        first, last = date.fromisoformat(low), date.fromisoformat(high)
    except ValueError:
        return None  # No such day: the answer says that the condition was not applied.
    end = last + timedelta(days=1)
    return f"(requested_at >= TIMESTAMP '{first}' AND requested_at < TIMESTAMP '{end}')"


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
