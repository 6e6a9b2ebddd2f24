"""When what happened in a run: its events, and what took how long; structure and figures, no content."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models.fields.json import KT

from agents.events import TERMINAL_TYPES
from agents.models import Run, RunEvent
from agents.tools import TOOLS
from contexts.labels import is_name

MAX_EVENTS = 1_000
"""How many events of a run are looked at, from its first on."""

_IN_LINE = "in line"
_FIRST = "triage"


class Kind(StrEnum):
    """What a stretch of time was spent on."""

    WAITING = "waiting"
    AGENT = "agent"
    TOOL = "tool"
    LOST = "lost"


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """An event: what, when, and how long until the next."""

    seq: int
    type: str
    agent_name: str
    subject: str
    """The tool called, the agent asked, the attempt, the code of an error; empty when there is none."""
    created_at: datetime
    offset_s: float
    """Seconds since the run was asked for."""
    until_next_s: float
    """Seconds to the next event; to now for the last one of an open run, else 0."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stretch:
    """Time spent on one thing."""

    kind: Kind
    name: str
    start_s: float
    """Seconds since the run was asked for."""
    seconds: float
    attempt: int
    """In which attempt it began; 0 before the first."""
    has_ended: bool
    """False while it goes on, and of what was cut off."""
    has_failed: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeline:
    """A run in time."""

    moments: tuple[Moment, ...]
    stretches: tuple[Stretch, ...]
    """In the order in which they began."""
    total_s: float
    """From the question to the end, or to now."""
    is_cut: bool
    """Whether there are more events than are shown."""


class _Row:
    """An event's structure; what its data say besides is not even read."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.seq: int = values["seq"]
        self.type: str = values["type"]
        self.agent_name: str = values["agent_name"]
        self.created_at: datetime = values["created_at"]
        self.call_id: str = values["call_id"] or ""
        self.to_agent: str = _named(values["to_agent"])
        self.attempt = int(values["resumed"] or 0)
        self.ok: bool = values["ok"] != "false"
        self.code: str = _named(values["code"] or values["error_code"])
        self.tool_name: str = values["tool_name"] or ""
        if self.tool_name and self.tool_name not in TOOLS:
            # A model may have made it up, of whatever it was told.
            self.tool_name = "unknown tool"

    @property
    def subject(self) -> str:
        match self.type:
            case "tool_executing" | "tool_completed":
                return f"{self.tool_name}: {self.code}" if self.code else self.tool_name
            case "run_resumed":
                return f"attempt {self.attempt}"
            case _:
                return self.to_agent or self.code


def timeline_of(run: Run, *, now: datetime) -> Timeline:
    """Return a run's timeline as of `now`. Needs a scope in which the run is seen."""
    rows = _rows(run.id)
    is_cut = len(rows) > MAX_EVENTS
    rows = rows[:MAX_EVENTS]
    end = run.finished_at or now
    times = [*(row.created_at for row in rows), end][1:] if rows else []
    moments = tuple(
        Moment(
            seq=row.seq,
            type=row.type,
            agent_name=row.agent_name,
            subject=row.subject,
            created_at=row.created_at,
            offset_s=_seconds(run.created_at, row.created_at),
            until_next_s=0.0 if row.type in TERMINAL_TYPES else _seconds(row.created_at, following),
        )
        for row, following in zip(rows, times, strict=True)
    )
    return Timeline(
        moments=moments,
        stretches=tuple(sorted(_stretches(run, rows, end=end), key=lambda each: each.start_s)),
        total_s=_seconds(run.created_at, end),
        is_cut=is_cut,
    )


def _rows(run_id: UUID) -> list[_Row]:
    events = RunEvent.objects.filter(run_id=run_id).order_by("seq")
    values = events.values(
        "seq",
        "type",
        "agent_name",
        "created_at",
        call_id=KT("data__call_id"),
        tool_name=KT("data__tool_name"),
        to_agent=KT("data__to_agent"),
        resumed=KT("data__attempt"),
        ok=KT("data__ok"),
        code=KT("data__code"),
        error_code=KT("data__error__code"),
    )
    return [_Row(row) for row in values[: MAX_EVENTS + 1]]


class _Begun(NamedTuple):
    kind: Kind
    key: str
    name: str
    at: datetime
    attempt: int


class _Stretches:
    """Puts beginnings and ends together."""

    def __init__(self, asked_at: datetime) -> None:
        self._asked_at = asked_at
        self._open: list[_Begun] = []
        self.found: list[Stretch] = []

    def begin(self, kind: Kind, name: str, at: datetime, attempt: int, *, key: str = "") -> None:
        # Told again after a worker was lost, it is still the same.
        if not any((begun.kind, begun.key) == (kind, key or name) for begun in self._open):
            self._open.append(_Begun(kind, key or name, name, at, attempt))

    def end(self, kind: Kind, key: str, at: datetime, *, has_failed: bool = False) -> None:
        for begun in [one for one in self._open if (one.kind, one.key) == (kind, key)]:
            self._open.remove(begun)
            self._keep(begun, at, has_ended=True, has_failed=has_failed)

    def end_all(self, at: datetime) -> list[Stretch]:
        for begun in self._open:
            self._keep(begun, at, has_ended=False)
        return self.found

    def _keep(self, begun: _Begun, at: datetime, *, has_ended: bool, has_failed: bool = False) -> None:
        self.found.append(
            Stretch(
                kind=begun.kind,
                name=begun.name,
                start_s=_seconds(self._asked_at, begun.at),
                seconds=_seconds(begun.at, at),
                attempt=begun.attempt,
                has_ended=has_ended,
                has_failed=has_failed,
            )
        )


def _stretches(run: Run, rows: Iterable[_Row], *, end: datetime) -> list[Stretch]:
    stretches = _Stretches(run.created_at)
    attempt = 0
    before = run.created_at
    stretches.begin(Kind.WAITING, _IN_LINE, run.created_at, attempt)
    for row in rows:
        at = row.created_at
        match row.type:
            case "agent_started":
                attempt = max(attempt, 1)
                stretches.end(Kind.WAITING, _IN_LINE, at)
                stretches.begin(Kind.AGENT, _FIRST, at, attempt)
            case "run_resumed":
                stretches.end(Kind.WAITING, _IN_LINE, at)
                stretches.begin(Kind.LOST, row.subject, before, attempt)
                stretches.end(Kind.LOST, row.subject, at)
                attempt = row.attempt
            case "tool_executing":
                stretches.begin(Kind.TOOL, row.tool_name, at, attempt, key=row.call_id)
            case "tool_completed":
                stretches.end(Kind.TOOL, row.call_id, at, has_failed=not row.ok)
            case "agent_handoff":
                stretches.end(Kind.AGENT, _FIRST, at)
                stretches.begin(Kind.AGENT, row.to_agent, at, attempt)
            case "handoff_completed":
                stretches.end(Kind.AGENT, row.to_agent, at)
            case "agent_completed":
                stretches.end(Kind.AGENT, _FIRST, at)
            case "run_failed" | "run_cancelled":
                # One that never began has waited to its end; what was under way then was cut off.
                stretches.end(Kind.WAITING, _IN_LINE, at)
        before = at
    return stretches.end_all(end)


def _named(text: str | None) -> str:
    """Return a name that a program gave, and nothing else."""
    return text if text and is_name(text) else ""


def _seconds(start: datetime, end: datetime) -> float:
    return max(0.0, (end - start).total_seconds())
