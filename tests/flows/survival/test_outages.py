"""PostgreSQL and Redis go away in the middle of runs: all of them end, and their users get every event."""

import asyncio
import signal
import time
from collections.abc import Callable

import pytest

from tests.flows.soak.people import Person
from tests.flows.soak.processes import Process
from tests.flows.survival.checks import Rows, of_all_kinds, until_in_the_middle, verdict
from tests.scripted.asking import ask, until, watching
from tests.scripted.database import OwnPostgres
from tests.scripted.fleet import Fleet

pytestmark = [pytest.mark.e2e, pytest.mark.mission_critical("P3"), pytest.mark.mission_critical("P2")]

REDIS_AWAY_S = 10.0


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_runs_go_on_after_a_restart_of_postgresql(
    running: Fleet,
    postgres: OwnPostgres,
    pair: tuple[Process, Process],
    person: Person,
    say: Callable[[str], None],
    mode: str,
) -> None:
    async with watching(running, person) as watcher:
        with running.connect() as rows:
            runs = await ask(watcher, of_all_kinds(mode))
            await until_in_the_middle(rows, runs)
        began_at = time.monotonic()
        await asyncio.to_thread(postgres.restart, mode)
        away_s = time.monotonic() - began_at
        await until(watcher.has_everything, "all runs have ended at the socket")
        ended_s = time.monotonic() - began_at
    with running.connect() as rows:
        # What had ended while nothing could be saved is done again.
        went = verdict(running, rows, runs, watcher, cut_off=1)
    assert all(worker.process.poll() is None for worker in pair)
    assert running.web[0].process.poll() is None
    assert sum(course.hand_backs for course in went.values()) > 0
    say(f"PostgreSQL restarted ({mode}, away for {away_s:.1f} s): all had ended {ended_s:.1f} s after")


async def test_runs_end_and_are_heard_of_without_redis(
    running: Fleet,
    pair: tuple[Process, Process],
    person: Person,
    rows: Rows,
    say: Callable[[str], None],
) -> None:
    async with watching(running, person) as watcher:
        runs = await ask(watcher, of_all_kinds("redis"))
        await until_in_the_middle(rows, runs)
        # It stands still; then it is killed, and comes back without a memory.
        running.redis.signal(signal.SIGSTOP)
        stopped_at = time.monotonic()
        await asyncio.sleep(REDIS_AWAY_S / 2)
        running.redis.kill()
        await asyncio.sleep(REDIS_AWAY_S / 2)
        await asyncio.to_thread(running.redis.start)
        await until(watcher.has_everything, "all events have come")
        heard_s = time.monotonic() - stopped_at
    went = verdict(running, rows, runs, watcher)
    assert sum(course.losses for course in went.values()) == 0
    say(
        f"Redis away for {REDIS_AWAY_S:.0f} s: every event of {len(runs)} runs had come after {heard_s:.1f} s"
    )
