"""Procrastinate's worker as Netra runs it: it outlives its database, and hands back what it cannot end."""

import asyncio
import logging
import math
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import close_old_connections
from procrastinate.exceptions import ConnectorException
from procrastinate.worker import Worker

from agents.execution import RunExecutor
from agents.job_manager import PAUSE_SECONDS, PatientJobManager
from contexts.database_loss import is_database_away, wait_for_database

logger = logging.getLogger(__name__)

RESTART_PAUSE_SECONDS = 1.0


class RunWorker(Worker):
    """Procrastinate's worker, whose runs go back to the queue step by step once it is to stop."""

    def __init__(self, *, on_stop: Callable[[], None], **options: Any) -> None:
        """Call `on_stop` as soon as it is to stop; the rest is as for `procrastinate.worker.Worker`."""
        super().__init__(**options)
        self._on_stop = on_stop

    def stop(self) -> None:
        """Take no more jobs, and have those under way end or go back to the queue."""
        self._on_stop()
        super().stop()

    async def _periodic_deferrer(self) -> None:
        """Defer periodic jobs, over a new connection whenever one breaks: it is one of Django's own."""
        while True:
            try:
                return await super()._periodic_deferrer()
            except ConnectorException as error:
                if not is_database_away(error):
                    raise
                logger.warning("Periodic jobs are put off, for the database is away: %r", error.__cause__)
            await asyncio.sleep(PAUSE_SECONDS)
            await sync_to_async(close_old_connections)()


async def work_on(make: Callable[[], RunWorker], executor: RunExecutor, *, handle_signals: bool) -> None:
    """Run a worker until it is asked to stop; one that gave up by itself is followed by another."""
    loop = asyncio.get_running_loop()
    is_asked_to_stop = asyncio.Event()
    with _called_on_signals(is_asked_to_stop.set) if handle_signals else nullcontext():
        while not is_asked_to_stop.is_set():
            executor.take_on()
            worker = make()
            stopping = loop.create_task(_stop_when(is_asked_to_stop, worker), name="stop-worker")
            try:
                await worker.run()
            except ConnectorException:
                _raise_if_cancelled()
                logger.exception("The worker lost its database")
            finally:
                stopping.cancel()
            if not is_asked_to_stop.is_set():
                logger.warning("The worker gave up, and begins anew")
                await asyncio.sleep(RESTART_PAUSE_SECONDS)
                await wait_for_database(at_most=math.inf)


async def _stop_when(is_asked_to_stop: asyncio.Event, worker: RunWorker) -> None:
    await is_asked_to_stop.wait()
    worker.stop()


@contextmanager
def _called_on_signals(stop: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _raise_if_cancelled() -> None:
    """Go on being cancelled, where an error on the way out has hidden it."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def rescue_what_was_lost(jobs: PatientJobManager, executor: RunExecutor, *, every: float) -> None:
    """Look for lost jobs every so many seconds, until cancelled."""
    while True:
        try:
            await rescue_lost_jobs(jobs, executor)
        except ConnectorException as error:
            # Nobody could show to be alive meanwhile; first everyone gets the time to.
            logger.warning("The search for lost jobs is put off: %r", error.__cause__)
            await asyncio.sleep(every)
        await asyncio.sleep(every)


async def rescue_lost_jobs(jobs: PatientJobManager, executor: RunExecutor) -> int:
    """Queue the jobs again whose workers send no heartbeats any more; return how many.

    Those that `executor` is carrying out are none of them: it was this process that stood still, as on a
    laptop that was closed.
    """
    rescued = 0
    for job in await jobs.get_stalled_jobs(seconds_since_heartbeat=settings.STALLED_AFTER_SECONDS):
        if job.task_kwargs.get("run_id") not in executor.run_ids and await jobs.rescue_job(job):
            logger.warning("Job %s was lost by its worker and is queued again", job.id)
            rescued += 1
    return rescued
