"""Judging a soak: what each socket received, next to the event log."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import quantiles
from typing import Any

import psycopg

from tests.flows.soak.scenario import Course
from tests.flows.soak.watcher import TERMINAL, Received, Resumed, Watcher

WORDS = re.compile(r"canary[0-9a-f]{32}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
EXPECTED_CLOSES = {1000, 1005, 1006, 1012, 4408}
EXPECTED_ERRORS = {"unavailable", "rate_limited", "quota_exceeded"}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What was right, in figures, and what was wrong, in words."""

    runs: int
    events: int
    deliveries: int
    deltas: int
    reconnects: int
    repeats_after_reconnecting: int
    p50_s: float
    p99_s: float
    longest_s: float
    wrong: list[str]


def judge(course: Course, database: str) -> Verdict:
    """Compare every socket with the event log."""
    log = _event_log(database, [person.user_id for person in course.people])
    owners = _owners(course, log)
    wrong = list(_incomplete_runs(course, log))
    delays: list[float] = []
    deliveries = deltas = repeats = 0
    for watcher in course.watchers:
        wrong += _foreign_words(watcher, owners)
        wrong += _disorder(watcher)
        wrong += _differences(watcher, log)
        wrong += [f"closed with {code}" for code in watcher.closes if code not in EXPECTED_CLOSES]
        seen: set[tuple[str, int]] = set()
        for record in watcher.records:
            if not isinstance(record, Received):
                continue
            frame = json.loads(record.raw)
            deltas += frame["type"] == "message_delta"
            if "seq" in frame:
                deliveries += 1
                key = (frame["run_id"], frame["seq"])
                repeats += key in seen
                if key not in seen:
                    delays.append(record.at - log[frame["run_id"]][frame["seq"]]["at"])
                seen.add(key)
    cuts = quantiles(delays, n=100) if len(delays) > 1 else [0.0] * 99
    return Verdict(
        runs=len(log),
        events=sum(map(len, log.values())),
        deliveries=deliveries,
        deltas=deltas,
        reconnects=sum(len(watcher.closes) for watcher in course.watchers),
        repeats_after_reconnecting=repeats,
        p50_s=cuts[49],
        p99_s=cuts[98],
        longest_s=max(delays, default=0.0),
        wrong=wrong,
    )


def _event_log(database: str, users: list[str]) -> dict[str, dict[int, dict[str, Any]]]:
    log: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
    with psycopg.connect(database, options="-c netra.scope=system") as connection:
        rows = connection.execute(
            "SELECT run_id::text, seq, type, user_id::text, thread_id::text, data, "
            "extract(epoch FROM created_at)::float FROM agents_runevent "
            "WHERE user_id = ANY(%s::uuid[]) ORDER BY run_id, seq",
            [users],
        )
        for run, seq, kind, user, thread, data, at in rows:
            log[run][seq] = {"type": kind, "user_id": user, "thread_id": thread, "data": data, "at": at}
    return log


def _owners(course: Course, log: dict[str, dict[int, dict[str, Any]]]) -> dict[str, str]:
    """Return whose each id and word is."""
    owners = {}
    for person in course.people:
        for word in (person.user_id, person.canary, *person.threads):
            owners[word] = person.user_id
    for run, events in log.items():
        owners[run] = events[1]["user_id"]
    return owners


def _incomplete_runs(course: Course, log: dict[str, dict[int, dict[str, Any]]]) -> Iterator[str]:
    asked = {run for person in course.people for run in person.runs}
    if asked != set(log):
        yield f"{len(asked)} runs were asked for, {len(log)} are in the log"
    for run, events in log.items():
        if list(events) != list(range(1, len(events) + 1)):
            yield f"run {run} is numbered {list(events)}"
        if (last := events[len(events)]["type"]) != "agent_completed":
            yield f"run {run} ended with {last} {events[len(events)]['data']}"


def _foreign_words(watcher: Watcher, owners: dict[str, str]) -> Iterator[str]:
    own = watcher.person.user_id
    canary_was_seen = False
    for record in watcher.records:
        if not isinstance(record, Received):
            continue
        for word in WORDS.findall(record.raw):
            if owners.get(word, own) != own:
                yield f"a socket of {own} received {word} of {owners[word]}: {record.raw[:200]}"
        canary_was_seen = canary_was_seen or watcher.person.canary in record.raw
        frame = json.loads(record.raw)
        if frame.get("user_id", own) != own:
            yield f"a socket of {own} received {record.raw[:200]}"
        if frame.get("thread_id") is not None and frame["thread_id"] not in watcher.threads:
            yield f"a socket received {frame['type']} of a thread it does not watch"
        if frame["type"] == "error" and frame["code"] not in EXPECTED_ERRORS:
            yield f"an error came: {record.raw[:300]}"
    if not canary_was_seen and any(thread in watcher.threads for thread in watcher.person.runs.values()):
        yield f"a socket of {own} never received their own word"


def _disorder(watcher: Watcher) -> Iterator[str]:
    """Within a connection no number comes twice, and none after a higher one unless asked for."""
    connection = 0
    for record in watcher.records:
        if record.connection != connection:
            connection = record.connection
            seen: set[tuple[str, int]] = set()
            highest: dict[str, int] = {}
        if isinstance(record, Resumed):
            highest |= record.cursors
            continue
        frame = json.loads(record.raw)
        if "seq" not in frame:
            continue
        run, seq = frame["run_id"], frame["seq"]
        if (run, seq) in seen:
            yield f"event {seq} of run {run} came twice on one connection"
        if seq <= highest.get(run, 0):
            yield f"event {seq} of run {run} came after {highest[run]}"
        seen.add((run, seq))
        highest[run] = seq


def _differences(watcher: Watcher, log: dict[str, dict[int, dict[str, Any]]]) -> Iterator[str]:
    received: dict[str, dict[int, Any]] = defaultdict(dict)
    for record in watcher.records:
        if isinstance(record, Received) and "seq" in (frame := json.loads(record.raw)):
            received[frame["run_id"]][frame["seq"]] = frame
    for run, events in log.items():
        if events[1]["user_id"] != watcher.person.user_id or events[1]["thread_id"] not in watcher.threads:
            continue
        for seq, event in events.items():
            frame = received[run].get(seq)
            if frame is None:
                yield f"event {seq} ({event['type']}) of run {run} never came; closes: {watcher.closes}"
            elif (frame["type"], frame["data"]) != (event["type"], event["data"]):
                yield f"event {seq} of run {run} differs from the log: {frame}"
        if events[len(events)]["type"] not in TERMINAL:
            yield f"run {run} never ended"
