"""A long soak: 50 users, 5 sockets each, 20 runs each, while Redis and a web process are killed."""

import asyncio
import sys
import tempfile
from pathlib import Path

from netra_site.embedded import start_postgres
from netra_site.embedded.lifetime import let_go
from tests.flows.soak.processes import cluster
from tests.flows.soak.scenario import Course, Size, soak
from tests.flows.soak.verdict import Verdict, judge

FULL = Size(users=50, sockets=5, threads=3, runs=20, redis_restarts=2, web_kills=1)
SHOWN = 20


def run() -> None:
    """Carry it out on a PostgreSQL and a Redis of its own; exit with 1 when anything was wrong."""
    postgres = Path(tempfile.mkdtemp(prefix="netra-soak-postgres-"))
    postgres.chmod(0o755)
    try:
        database = start_postgres(postgres, temporary=True)
        with (
            tempfile.TemporaryDirectory(prefix="netra-soak-") as name,
            cluster(database, Path(name)) as running,
        ):
            running.start()
            course = asyncio.run(soak(running, FULL))
            verdict = judge(course, database)
    finally:
        let_go(postgres)
    _print(course, verdict)
    if verdict.wrong:
        sys.exit(1)


def _print(course: Course, verdict: Verdict) -> None:
    print(f"\n### {FULL.users} users × {FULL.sockets} sockets × {FULL.runs} runs, with kills\n")
    print("| | |")
    print("|---|---:|")
    for name, value in (
        ("runs", f"{verdict.runs:,}"),
        ("events in the log", f"{verdict.events:,}"),
        ("events received by watching sockets", f"{verdict.deliveries:,}"),
        ("pieces of answers received", f"{verdict.deltas:,}"),
        ("sockets that were cut and came back", f"{verdict.reconnects:,}"),
        ("events that came again after coming back", f"{verdict.repeats_after_reconnecting:,}"),
        ("from the event to its socket, median", f"{verdict.p50_s * 1000:,.0f} ms"),
        ("from the event to its socket, p99", f"{verdict.p99_s * 1000:,.0f} ms"),
        ("from the event to its socket, longest (through the kills)", f"{verdict.longest_s:,.1f} s"),
        *((f"{what} was down for", f"{end - start:,.1f} s") for what, start, end in course.outages),
        ("took", f"{course.seconds:,.0f} s"),
        ("events lost, doubled, out of order or led astray", f"{len(verdict.wrong):,}"),
    ):
        print(f"| {name} | {value} |")
    for words in verdict.wrong[:SHOWN]:
        print(f"\n{words}")
