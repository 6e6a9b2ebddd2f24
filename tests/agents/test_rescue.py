"""Jobs of a worker that is gone are queued again; those of a process that stood still are not."""

import asyncio

import pytest
from django.db import connection
from procrastinate.contrib.django import app as django_app

from agents.execution import RunExecutor
from agents.job_loop import rescue_lost_jobs
from agents.job_manager import PatientJobManager
from contexts.database import call_in_thread
from contexts.factory import UserContextFactory
from tests.agents.running import ask, engines_with, execute, scripted, stored_events
from tests.factories import make_cast

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.mission_critical("P3")]


def let_its_worker_fall_silent(run_id) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - interval '1 hour')"
            " RETURNING id"
        )
        cursor.execute(
            "UPDATE procrastinate_jobs SET status = 'doing', worker_id = %s WHERE args->>'run_id' = %s",
            [cursor.fetchone()[0], str(run_id)],
        )


def status_of_job(run_id) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT status FROM procrastinate_jobs WHERE args->>'run_id' = %s", [str(run_id)])
        return cursor.fetchone()[0]


async def test_only_the_jobs_of_others_are_rescued(recorder):
    cast = await call_in_thread(make_cast)
    mine, lost = [await call_in_thread(ask, user, "hello") for user in (cast.alice, cast.carol)]
    for run_id in (mine, lost):
        await call_in_thread(let_its_worker_fall_silent, run_id)
    stuck, go_on = asyncio.Event(), asyncio.Event()
    executor = RunExecutor(contexts=UserContextFactory(), engines=engines_with(scripted(stuck=stuck)))
    working = asyncio.create_task(
        executor.execute(
            mine,
            user_id=cast.alice.id,
            tenant_id=cast.acme.id,
            is_stopping=go_on.is_set,
        )
    )
    await stuck.wait()
    app = django_app.with_connector(django_app.connector.get_worker_connector())
    async with app.open_async():
        assert await rescue_lost_jobs(PatientJobManager(app.connector), executor) == 1
    assert await call_in_thread(status_of_job, mine) == "doing"
    assert await call_in_thread(status_of_job, lost) == "todo"
    working.cancel()
    await asyncio.wait([working])
    assert executor.run_ids == frozenset()
    await execute(lost, scripted())
    assert (await call_in_thread(stored_events, lost))[-1].type == "agent_completed"
