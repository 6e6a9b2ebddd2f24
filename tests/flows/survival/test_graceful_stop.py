"""Processes that are told to stop: runs go on elsewhere at once, none of their steps is taken twice."""

import asyncio
import time
from collections.abc import Callable

import pytest

from tests.flows.soak.people import Person
from tests.flows.soak.processes import Process
from tests.flows.survival.checks import Rows, verdict
from tests.scripted.asking import ask, count_events, until, until_all, watching
from tests.scripted.fleet import Fleet, standing_still
from tests.scripted.question import Script

pytestmark = [pytest.mark.e2e, pytest.mark.mission_critical("P3")]

RUNS = 10


async def test_a_rolling_restart_of_all_processes_loses_no_run_and_repeats_no_step(
    running: Fleet,
    pair: tuple[Process, Process],
    person: Person,
    rows: Rows,
    say: Callable[[str], None],
) -> None:
    first, second = pair
    missed = rescues(running)
    scripts = [
        Script(name=f"rolling-{number}", steps=5, parallel=1 + number % 2, model_s=0.4, tool_s=0.1, pieces=5)
        for number in range(RUNS)
    ]
    async with watching(running, person) as watcher:
        with standing_still(second):
            runs = await ask(watcher, scripts)
            await until_all(rows, runs, "attempt = 1")
            await until(lambda: count_events(rows, runs, "tool_executing") > 2 * RUNS, "tools are called")
            first.process.terminate()
        pause = await gone_on_after(first, rows, runs, attempt=2)
        for attempt in (3, 4):
            # Who follows is not there yet: meanwhile nobody works on them.
            follower = running.launch_worker()
            second.process.terminate()
            await gone_on_after(second, rows, runs, attempt=attempt)
            second = follower
        running.web[0].process.terminate()
        await asyncio.to_thread(running.web[0].process.wait, 30)
        await asyncio.to_thread(running.start_web, 0)
        await until(watcher.has_everything, "all runs have ended at the socket")
    went = verdict(running, rows, runs, watcher)
    assert max(course.attempt for course in went.values()) > 3
    assert sum(course.losses for course in went.values()) == 0
    # At once, by those who stopped; not after a while, by those who miss them.
    assert rescues(running) == missed
    assert 1012 in watcher.closes
    say(f"SIGTERM of a worker: its runs went on elsewhere within {pause:.2f} s of its end")


async def gone_on_after(worker: Process, rows: Rows, runs: dict[str, Script], *, attempt: int) -> float:
    """Wait for the end of a worker, and of its runs' going on; return the seconds between (0: before)."""
    assert await asyncio.to_thread(worker.process.wait, 30) == 0
    ended_at = time.monotonic()
    await until_all(rows, runs, f"attempt >= {attempt} OR status = 'completed'")
    return time.monotonic() - ended_at


def rescues(running: Fleet) -> int:
    """Return how many runs workers have taken from others that they missed."""
    return sum(worker.output.count("was lost by its worker") for worker in running.workers)
