"""A worker that is killed, or stands still and wakes up, loses no run, does none of its steps twice."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.flows.soak.people import Person
from tests.flows.soak.processes import Process
from tests.flows.survival.checks import Rows, of_all_kinds, takeover, until_in_the_middle, verdict
from tests.scripted.asking import ask, count_events, until, until_all, watching
from tests.scripted.counting import calls
from tests.scripted.fleet import Fleet, kill, standing_still
from tests.scripted.question import Script
from tests.scripted.verdict import Course, courses, unsettled

pytestmark = [pytest.mark.e2e, pytest.mark.mission_critical("P3")]


async def test_a_worker_that_stood_still_and_wakes_after_the_takeover_adds_nothing(
    running: Fleet,
    pair: tuple[Process, Process],
    person: Person,
    rows: Rows,
    say: Callable[[str], None],
) -> None:
    first, second = pair
    keep_steps(rows)
    async with watching(running, person) as watcher:
        with standing_still(second):
            runs = await ask(watcher, of_all_kinds("still"))
            await until_in_the_middle(rows, runs)
        stopped_at = time.time()
        with standing_still(first):
            await until(lambda: count_events(rows, runs, "run_resumed"), "a run goes on elsewhere")
            await until_all(rows, runs, "attempt > 1 OR status = 'completed'")
        await until(watcher.has_everything, "all runs have ended at the socket")
        went = verdict(running, rows, runs, watcher, woken=first.process.pid)
        assert first.process.poll() is None
        # It takes new runs.
        with standing_still(second):
            later = await ask(watcher, [Script(name=f"after-{number}", steps=1) for number in range(3)])
            await until(watcher.has_everything, "the worker that woke up answers")
        verdict(running, rows, later, watcher)
    assert rows.execute("SELECT count(DISTINCT attempt) FROM scripted_step").fetchone() == (2,)
    assert stale_steps(rows) == []
    processes = {entry.process for entry in running.counts() if entry.name.startswith("after-")}
    assert processes == {first.process.pid}
    say(f"SIGSTOP of a worker: {takeover(went, stopped_at)}")


def keep_steps(rows: Rows) -> None:
    """Have the database remember every step that is saved, also of runs that have ended."""
    rows.execute("CREATE TABLE scripted_step (run_id uuid, name text, attempt int, at timestamptz)")
    rows.execute(
        "CREATE FUNCTION scripted_keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " INSERT INTO scripted_step VALUES (NEW.run_id, NEW.name, NEW.attempt, clock_timestamp());"
        " RETURN NEW; END $$"
    )
    rows.execute(
        "CREATE TRIGGER scripted_keep AFTER INSERT ON agents_runstep"
        " FOR EACH ROW EXECUTE FUNCTION scripted_keep()"
    )


def stale_steps(rows: Rows) -> list[Any]:
    """Return the steps that an attempt saved after a later one had begun, and those saved twice."""
    return rows.execute(
        "SELECT run_id, name, step.attempt FROM scripted_step step JOIN agents_runevent event USING (run_id)"
        " WHERE type = 'run_resumed' AND (data->>'attempt')::int > step.attempt AND at > created_at"
        " UNION ALL SELECT run_id, name, count(*) FROM scripted_step GROUP BY run_id, name"
        " HAVING count(*) > 1"
    ).fetchall()


async def test_runs_of_a_killed_worker_end_on_another_without_a_step_taken_twice(
    running: Fleet,
    pair: tuple[Process, Process],
    strangers: list[Person],
    rows: Rows,
    say: Callable[[str], None],
) -> None:
    first, second = pair
    person, unlucky = strangers[:2]
    once = Script(name="once", steps=1, tool="count_once", tool_s=20)
    hopeless = Script(name="hopeless", model_s=100)
    async with watching(running, person) as watcher, watching(running, unlucky) as other:
        with standing_still(second):
            lost = await ask(other, [once, hopeless])
            runs = await ask(watcher, of_all_kinds("killed"))
            await until_in_the_middle(rows, runs)
            await until(lambda: calls(running.counts(), "tool", "once"), "the tool runs")
            await until_begun(running, hopeless, 1)
        killed_at = time.time()
        kill(first)
        await until(watcher.has_everything, "all runs have ended at the socket")
        went = verdict(running, rows, runs, watcher)
        assert {course.attempt for course in went.values()} <= {1, 2}
        assert all(
            [event.data["attempt"] for event in course.of("run_resumed")] == [2] * course.losses
            for course in went.values()
        )
        assert {entry.process for entry in running.counts() if entry.at > killed_at} == {second.process.pid}
        say(f"kill -9 of a worker: {takeover(went, killed_at)}")
        await until_all(rows, [run for run in lost if lost[run] is once], "status = 'completed'")
        for attempt in (2, 3):
            await until_begun(running, hopeless, attempt)
            follower = running.launch_worker()
            kill(second)
            second = follower
        await until(other.has_everything, "the run that was lost three times has ended")
    by_name = {course.script.name: course for course in courses(rows, lost).values()}
    check_told_as_unknown(by_name["once"], running)
    end = by_name["hopeless"].events[-1]
    assert (end.type, end.data["code"], end.data["retryable"]) == ("run_failed", "worker_lost", True)
    assert by_name["hopeless"].attempt == 3
    assert unsettled(rows, unlucky.user_id) == []
    # After this test and all before it.
    await asyncio.to_thread(running.manage, "reconcile_quotas", "--check")


async def until_begun(running: Fleet, script: Script, attempt: int) -> None:
    """Wait until the first model call of a run was made in its `attempt`."""
    await until(
        lambda: calls(running.counts(), "model", script.name)["triage.0"] == attempt,
        f"{script.name} was begun {attempt} times",
    )


def check_told_as_unknown(course: Course, running: Fleet) -> None:
    """Check that a call which may not be repeated was cut off, not made again, and told of as it is."""
    (told,) = [event.data for event in course.of("tool_completed") if event.data["tool_name"] == "count_once"]
    assert (told["ok"], told["error"]["code"]) == (False, "outcome_unknown")
    assert calls(running.counts(), "tool", course.script.name) == {told["call_id"]: 1}
    assert "Problems: outcome_unknown." in course.events[-1].data["final_response"]
