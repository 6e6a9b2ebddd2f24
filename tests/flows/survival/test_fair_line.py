"""One tenant's thousand waiting runs delay another's first by no more than one of them."""

import asyncio
import time
from contextlib import ExitStack

import pytest

from tests.flows.soak.people import Person
from tests.flows.soak.processes import Process
from tests.flows.survival.checks import Rows, put_on_tier
from tests.scripted.asking import ask, until, watching
from tests.scripted.fleet import Fleet, standing_still
from tests.scripted.question import Script

pytestmark = [pytest.mark.e2e, pytest.mark.mission_critical("P7")]

BACKLOG = 1_000
# Of the tenant that has the backlog, and of those that ask once.
TIERS = ("enterprise", "free", "mid", "enterprise")


async def test_who_asks_once_is_begun_after_at_most_one_further_run_of_a_thousand(
    running: Fleet, pair: tuple[Process, Process], strangers: list[Person], rows: Rows
) -> None:
    for person, tier in zip(strangers, TIERS, strict=True):
        put_on_tier(rows, person, tier)
    busy, *others = strangers
    with ExitStack() as stack:
        for worker in pair:
            stack.enter_context(standing_still(worker))
        async with watching(running, busy) as watcher:
            (run,) = await ask(watcher, [Script(name="backlog", model_s=0.05)])
        queue_again(rows, run, BACKLOG - 1)
        (only,) = await asyncio.to_thread(running.start_workers, 1, "--concurrency", "1")
        try:
            for person in others:
                # The one under way at the time, and one more.
                assert await ended_before(running, rows, person, busy) <= 2
            assert ended(rows, busy, 0, time.time()) < BACKLOG / 2
        finally:
            only.process.terminate()
            await asyncio.to_thread(only.process.wait, 30)
            forget_backlog(rows, busy)


async def ended_before(running: Fleet, rows: Rows, person: Person, busy: Person) -> int:
    """Have a person ask while the backlog is worked on; return how many of it ended before theirs began."""
    now = time.time()
    await until(lambda: ended(rows, busy, now, time.time()) > 1, "the backlog is worked on")
    async with watching(running, person) as watcher:
        (run,) = await ask(watcher, [Script(name=f"once-{person.user_id}")])
        asked_at = time.time()
        await until(watcher.has_everything, "it has ended")
    (began_at,) = rows.execute(
        "SELECT extract(epoch FROM created_at)::float FROM agents_runevent"
        " WHERE run_id = %s AND type = 'agent_started'",
        [run],
    ).fetchone() or (0.0,)
    return ended(rows, busy, asked_at, began_at)


def ended(rows: Rows, busy: Person, since: float, to: float) -> int:
    """Return how many runs of a person ended between two moments (Unix time)."""
    found = rows.execute(
        "SELECT count(*) FROM agents_runevent WHERE user_id = %s AND type = 'agent_completed'"
        " AND extract(epoch FROM created_at) BETWEEN %s AND %s",
        [busy.user_id, since, to],
    ).fetchone()
    assert found is not None
    return int(found[0])


def queue_again(rows: Rows, run: str, times: int) -> None:
    """Have the same asked many times more, each in its tenant's turn."""
    rows.execute(
        "WITH copies AS (INSERT INTO agents_run SELECT (jsonb_populate_record(run, jsonb_build_object("
        "'id', gen_random_uuid(), 'idempotency_key', NULL,"
        " 'job_id', nextval(pg_get_serial_sequence('procrastinate_jobs', 'id'))))).*"
        " FROM agents_run run, generate_series(1, %(times)s) WHERE run.id = %(run)s::uuid"
        " RETURNING id, job_id, tenant_id, user_id)"
        " INSERT INTO procrastinate_jobs (id, queue_name, task_name, priority, args)"
        " SELECT copies.job_id, job.queue_name, job.task_name, -netra_take_turn(tenant_id, job.queue_name),"
        " job.args || jsonb_build_object('run_id', copies.id)"
        " FROM copies, procrastinate_jobs job WHERE job.args->>'run_id' = %(run)s::text",
        {"run": run, "times": times},
    )


def forget_backlog(rows: Rows, busy: Person) -> None:
    """End the rest, so that the workers of other tests are free."""
    rows.execute(
        "UPDATE agents_run SET status = 'cancelled', finished_at = now()"
        " WHERE user_id = %s AND status IN ('queued', 'running')",
        [busy.user_id],
    )
    rows.execute(
        "DELETE FROM procrastinate_jobs WHERE queue_name = 'runs' AND args->>'user_id' = %s", [busy.user_id]
    )
