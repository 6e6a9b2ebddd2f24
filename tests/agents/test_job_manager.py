"""What a worker may do with jobs: its own ones, as long as they are."""

from contextlib import asynccontextmanager

import pytest
from django.db import connection
from procrastinate.contrib.django import app as django_app
from procrastinate.jobs import Status

from agents.job_manager import PatientJobManager, delete_ended_jobs
from agents.queueing import QUEUE
from contexts.database import call_in_thread
from tests.agents.running import ask
from tests.factories import make_cast

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.mission_critical("P3")]


@asynccontextmanager
async def jobs_of_a_worker():
    app = django_app.with_connector(django_app.connector.get_worker_connector())
    async with app.open_async():
        yield PatientJobManager(app.connector)


def status_of(job_id) -> tuple[str, bool] | None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT status, abort_requested FROM procrastinate_jobs WHERE id = %s", [job_id])
        return cursor.fetchone()


def request_abortion(job_id) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE procrastinate_jobs SET abort_requested = true WHERE id = %s", [job_id])


async def test_a_worker_that_was_thought_dead_leaves_its_jobs_to_whoever_has_them(recorder):
    await call_in_thread(ask, (await call_in_thread(make_cast)).alice)
    async with jobs_of_a_worker() as jobs:
        asleep, awake = [await jobs.register_worker() for _ in range(2)]
        lost = await jobs.fetch_job([QUEUE], asleep)
        assert await jobs.rescue_job(lost)
        assert not await jobs.rescue_job(lost)
        await _finish_and_retry(jobs, lost)
        assert await call_in_thread(status_of, lost.id) == ("todo", False)
        taken = await jobs.fetch_job([QUEUE], awake)
        await _finish_and_retry(jobs, lost)
        assert await call_in_thread(status_of, lost.id) == ("doing", False)
        assert (taken.id, taken.worker_id) == (lost.id, awake)
        await jobs.finish_job(taken, Status.SUCCEEDED, delete_job=True)
        assert await call_in_thread(status_of, lost.id) is None


async def _finish_and_retry(jobs, job) -> None:
    await jobs.finish_job(job, Status.SUCCEEDED, delete_job=True)
    await jobs.retry_job(job)


def make_older(job_id) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE procrastinate_events SET at = at - interval '8 days' WHERE job_id = %s", [job_id]
        )


@pytest.mark.parametrize("by", ["rescue_job", "retry_job"])
async def test_a_job_whose_run_is_to_be_cancelled_is_queued_again_for_its_end_to_be_told(recorder, by):
    await call_in_thread(ask, (await call_in_thread(make_cast)).alice)
    async with jobs_of_a_worker() as jobs:
        job = await jobs.fetch_job([QUEUE], await jobs.register_worker())
        await call_in_thread(request_abortion, job.id)
        await getattr(jobs, by)(job)
        assert await call_in_thread(status_of, job.id) == ("todo", False)


async def test_a_worker_that_was_taken_for_dead_is_known_again_with_its_next_heartbeat(recorder):
    async with jobs_of_a_worker() as jobs:
        worker = await jobs.register_worker()
        await jobs.unregister_worker(worker)
        await jobs.update_heartbeat(worker)
        assert worker in await jobs.prune_stalled_workers(0)


async def test_a_job_of_a_worker_whose_record_is_gone_is_rescued(recorder):
    await call_in_thread(ask, (await call_in_thread(make_cast)).alice)
    async with jobs_of_a_worker() as jobs:
        worker = await jobs.register_worker()
        await jobs.fetch_job([QUEUE], worker)
        await jobs.unregister_worker(worker)
        (lost,) = await jobs.get_stalled_jobs(seconds_since_heartbeat=1)
        assert await jobs.rescue_job(lost)
        assert await call_in_thread(status_of, lost.id) == ("todo", False)


async def test_jobs_that_ended_a_week_ago_are_deleted(recorder):
    await call_in_thread(ask, (await call_in_thread(make_cast)).alice)
    async with jobs_of_a_worker() as jobs:
        job = await jobs.fetch_job([QUEUE], await jobs.register_worker())
        await jobs.finish_job(job, Status.FAILED, delete_job=False)
        await delete_ended_jobs(jobs)
        assert await call_in_thread(status_of, job.id) == ("failed", False)
        await call_in_thread(make_older, job.id)
        await delete_ended_jobs(jobs)
        assert await call_in_thread(status_of, job.id) is None


async def test_a_worker_whose_record_is_gone_takes_jobs_all_the_same(recorder):
    await call_in_thread(ask, (await call_in_thread(make_cast)).alice)
    async with jobs_of_a_worker() as jobs:
        worker = await jobs.register_worker()
        await jobs.unregister_worker(worker)
        job = await jobs.fetch_job([QUEUE], worker)
        assert job.worker_id == worker
