"""Judging scripted runs: what was told, what was really called, and what the quota ledger is left with."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import psycopg

from tests.flows.soak.watcher import TERMINAL, Received, Watcher
from tests.scripted.counting import Entry, calls
from tests.scripted.model import expected_answer
from tests.scripted.question import COUNTING_TOOLS, Script


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """An event of a run."""

    seq: int
    type: str
    data: dict[str, Any]
    at: float
    """Unix time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Course:
    """How one run went."""

    script: Script
    status: str
    attempt: int
    hand_backs: int
    events: list[Told]

    def of(self, kind: str) -> list[Told]:
        """Return its events of a type."""
        return [event for event in self.events if event.type == kind]

    @property
    def losses(self) -> int:
        """Return how often its worker was lost."""
        return max(0, self.attempt - 1 - self.hand_backs)


def courses(rows: psycopg.Connection[Any], runs: Mapping[str, Script]) -> dict[str, Course]:
    """Return how runs went, by their ids."""
    events: dict[str, list[Told]] = {run: [] for run in runs}
    for run, seq, kind, data, at in rows.execute(
        "SELECT run_id::text, seq, type, data, extract(epoch FROM created_at)::float FROM agents_runevent"
        " WHERE run_id = ANY(%s::uuid[]) ORDER BY run_id, seq",
        [list(runs)],
    ):
        events[run].append(Told(seq=seq, type=kind, data=data, at=at))
    return {
        run: Course(
            script=runs[run], status=status, attempt=attempt, hand_backs=hand_backs, events=events[run]
        )
        for run, status, attempt, hand_backs in rows.execute(
            "SELECT id::text, status, attempt, hand_backs FROM agents_run WHERE id = ANY(%s::uuid[])",
            [list(runs)],
        )
    }


def faults(
    course: Course, counts: list[Entry], *, cut_off: int | None = None, woken: int | None = None
) -> Iterator[str]:
    """Tell what is wrong with a run, in words; nothing for one that went as promised.

    `cut_off` is how often a step that had ended may have been lost all the same: with each lost worker, if
    nothing else is said.
    """
    name = course.script.name
    cut_off = course.losses if cut_off is None else cut_off
    for fault in (
        *_of_numbers(course),
        *_of_calls(course),
        *_of_answer(course),
        *_of_counts(course, counts, cut_off, woken),
    ):
        yield f"{name} (attempt {course.attempt}, {course.status}): {fault}"


def _of_numbers(course: Course) -> Iterator[str]:
    numbers = [event.seq for event in course.events]
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"its events are numbered {numbers}"
    types = Counter(event.type for event in course.events)
    if types["run_queued"] != 1 or types["agent_started"] != 1:
        yield f"it was queued {types['run_queued']} times and started {types['agent_started']} times"
    if sum(types[kind] for kind in TERMINAL) != 1 or course.events[-1].type not in TERMINAL:
        yield f"its end is not one: {[event.type for event in course.events]}"
    attempts = [event.data["attempt"] for event in course.of("run_resumed")]
    if attempts != sorted(set(attempts)) or not set(attempts) <= set(range(2, course.attempt + 1)):
        yield f"it was resumed as {attempts}"


def _of_calls(course: Course) -> Iterator[str]:
    begun, ended = (
        [event.data["call_id"] for event in course.of(kind)] for kind in ("tool_executing", "tool_completed")
    )
    if len(set(begun)) < len(begun):
        yield f"tool_executing came twice for one of {begun}"
    if sorted(begun) != sorted(ended):
        yield f"calls {begun} began, {ended} ended"
    first = {event.data["call_id"]: event.seq for event in reversed(course.of("tool_executing"))}
    for event in course.of("tool_completed"):
        if event.seq < first.get(event.data["call_id"], 0):
            yield f"call {event.data['call_id']} ended before it began"


def _of_answer(course: Course) -> Iterator[str]:
    if course.status == "completed":
        answer = course.events[-1].data["final_response"]
        if answer != expected_answer(course.script):
            yield f"its answer is {answer!r}"


def _of_counts(course: Course, counts: list[Entry], cut_off: int, woken: int | None) -> Iterator[str]:
    """Every call was made once; for each cut, one model call or one step's tool calls once more."""
    script = course.script
    own = [entry for entry in counts if entry.name == script.name]
    models, tools = (calls(own, kind, script.name) for kind in ("model", "tool"))
    steps = [f"data.{number}" for number in range(script.steps + 1)] if script.steps else []
    expected = {"triage.0", *steps, *(["reporting.0"] if steps else [])}
    if course.status == "completed" and set(models) != expected:
        yield f"the models were called as {sorted(models)}"
    called = [event for event in course.of("tool_executing") if event.data["tool_name"] in COUNTING_TOOLS]
    place = {event.data["call_id"]: number // script.parallel for number, event in enumerate(called)}
    if course.status == "completed" and set(tools) != set(place):
        yield f"tools ran as {sorted(tools)}, told was {sorted(place)}"
    again: Counter[int] = Counter()
    for key, number in tools.items():
        again[place.get(key, -1)] = max(again[place.get(key, -1)], number - 1)
    repeats = sum(number - 1 for number in models.values()) + again.total()
    if repeats > cut_off:
        yield f"{repeats} steps were taken again after {cut_off} cuts: {models} {tools}"
    awake = [entry for entry in own if entry.process != woken]
    yield from _of_repeats(course, awake, place, called)


def _of_repeats(
    course: Course, own: list[Entry], place: Mapping[str, int], called: list[Told]
) -> Iterator[str]:
    """What was told to have ended never began again."""
    ended = {event.data["call_id"]: event.at for event in course.of("tool_completed")}
    answered = {f"data.{place[event.data['call_id']]}": event.at for event in called}
    known = ended | answered
    for entry in own:
        if entry.phase == "began" and entry.at > known.get(entry.key, entry.at):
            yield f"{entry.kind} {entry.key} began {entry.at - known[entry.key]:.3f} s after it was told"


def stale_pieces(watcher: Watcher) -> Iterator[str]:
    """Tell of pieces of an answer that do not go on where the ones before ended, or from its beginning."""
    texts: dict[str, str] = {}
    connection = 0
    for record in watcher.records:
        if not isinstance(record, Received):
            continue
        if record.connection != connection:
            connection, texts = record.connection, {}
        frame = json.loads(record.raw)
        run = frame.get("run_id")
        if frame["type"] == "run_resumed":
            texts[run] = ""
        elif frame["type"] == "message_delta":
            before = texts.get(run, "") if frame["offset"] else ""
            if run in texts and frame["offset"] != len(before):
                yield f"a piece of {run} came at {frame['offset']} after {len(before)} characters"
            texts[run] = before + frame["text"]
        elif frame["type"] == "agent_completed" and texts.get(run):
            answer = frame["data"]["final_response"]
            if not answer.startswith(texts[run]):
                yield f"the pieces of {run} were {texts[run]!r}, the answer is {answer!r}"


def unsettled(rows: psycopg.Connection[Any], user_id: str) -> list[Any]:
    """Return what is still reserved for a user's runs; sockets that are open apart."""
    return rows.execute(
        "SELECT purpose, id::text, amounts::text FROM contexts_quotareservation"
        " WHERE user_id = %(user)s AND purpose <> 'socket'"
        " UNION ALL SELECT 'counter', resource, reserved::text FROM contexts_quotausage"
        " WHERE user_id = %(user)s AND reserved <> 0 AND resource <> 'websocket_connections'",
        {"user": user_id},
    ).fetchall()


def used(rows: psycopg.Connection[Any], user_id: str, resource: str) -> Decimal:
    """Return how much of a resource a user has used in all windows."""
    found = rows.execute(
        "SELECT coalesce(sum(used), 0) FROM contexts_quotausage WHERE user_id = %s AND resource = %s",
        [user_id, resource],
    ).fetchone()
    assert found is not None
    return Decimal(found[0])
