"""Procrastinate's jobs for a worker that outlives its database's restarts, and may be thought dead itself."""

import asyncio
import logging
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job, Status
from procrastinate.manager import JobManager, NotificationCallback
from psycopg.errors import ForeignKeyViolation

from contexts.database_loss import is_database_away, retry_while_away

logger = logging.getLogger(__name__)

ENDED_JOBS_HOURS = 7 * 24
"""How long jobs that were cancelled or failed are kept for operators to see; others are deleted at once."""
PAUSE_SECONDS = 0.5
"""How long a worker waits before it asks again for what a database that is away did not answer."""

_BEAT = """
INSERT INTO procrastinate_workers (id) OVERRIDING SYSTEM VALUE VALUES (%(worker_id)s)
ON CONFLICT (id) DO UPDATE SET last_heartbeat = now()
"""
# A job that has gone to another worker meanwhile is left to it; Procrastinate's own queries know no owner.
_FINISH = """
SELECT procrastinate_finish_job_v1(mine.id, %(status)s, %(delete_job)s)
FROM (SELECT id FROM procrastinate_jobs
      WHERE id = %(job_id)s AND worker_id IS NOT DISTINCT FROM %(worker_id)s AND status = 'doing'
      FOR UPDATE) AS mine
"""
# Procrastinate tells waiting workers of new jobs only, and ends one whose abortion was asked for: of that the
# run itself knows, and has still to be told to have ended.
_RETRY = """
WITH mine AS (
    UPDATE procrastinate_jobs SET abort_requested = false
    WHERE id = %(job_id)s AND worker_id IS NOT DISTINCT FROM %(worker_id)s AND status = 'doing'
    RETURNING id, queue_name
)
SELECT procrastinate_retry_job_v2(mine.id, %(retry_at)s, NULL, NULL, NULL),
    pg_notify('procrastinate_queue_v1#' || mine.queue_name,
        json_build_object('type', 'job_inserted', 'job_id', mine.id)::text)
FROM mine
"""


class PatientJobManager(JobManager):
    """Asks again while the database is away, and touches no job that is another worker's by now."""

    async def fetch_job(self, queues: Iterable[str] | None, worker_id: int) -> Job | None:
        """Return the next job, none while there is none or the database is away.

        A worker that slept, and whose record was deleted for that, first has one again.
        """
        try:
            return await super().fetch_job(queues=queues, worker_id=worker_id)
        except ConnectorException as error:
            if isinstance(error.__cause__, ForeignKeyViolation):
                await self.update_heartbeat(worker_id)
                return await super().fetch_job(queues=queues, worker_id=worker_id)
            if not is_database_away(error):
                raise
            logger.warning("No jobs can be fetched, for the database is away: %r", error.__cause__)
            await asyncio.sleep(PAUSE_SECONDS)
            return None

    async def update_heartbeat(self, worker_id: int) -> None:
        """Show that the worker lives; what fails while the database is away is done with the next beat.

        A worker that slept, and whose record was deleted for that, has one again.
        """
        try:
            await self.connector.execute_query_async(query=_BEAT, worker_id=worker_id)
        except ConnectorException as error:
            if not is_database_away(error):
                raise
            logger.warning("No heartbeat was sent, for the database is away: %r", error.__cause__)

    async def listen_for_jobs(
        self, *, on_notification: NotificationCallback, queues: Iterable[str] | None = None
    ) -> None:
        """Hear of jobs until cancelled, over a new connection whenever one breaks."""
        while True:
            try:
                await super().listen_for_jobs(on_notification=on_notification, queues=queues)
            except ConnectorException as error:
                if not is_database_away(error):
                    raise
            await asyncio.sleep(PAUSE_SECONDS)

    async def finish_job(self, job: Job, status: Status, delete_job: bool) -> None:
        """Set a job of this worker to its final state, as soon as the database answers."""
        arguments = {"status": status.value, "delete_job": delete_job}
        if not await self._with_mine(job, _FINISH, **arguments):
            logger.warning("Job %s is another worker's by now, and is left to it", job.id)

    async def rescue_job(self, job: Job) -> bool:
        """Queue a job again that its worker has lost; return false when it has ended, or was rescued."""
        return await self._with_mine(job, _RETRY, retry_at=None)

    async def retry_job(
        self,
        job: Job,
        retry_at: datetime | None = None,
        priority: int | None = None,
        queue: str | None = None,
        lock: str | None = None,
    ) -> None:
        """Queue a job of this worker again, at once unless a time is given, and tell the workers of it.

        Raises:
            ValueError: for anything else to be changed of it.
        """
        if (priority, queue, lock) != (None, None, None):
            raise ValueError("A job that is queued again keeps its priority, queue and lock.")
        if not await self._with_mine(job, _RETRY, retry_at=retry_at):
            logger.warning("Job %s is another worker's by now, and is left to it", job.id)

    async def _with_mine(self, job: Job, query: str, **arguments: Any) -> bool:
        """Do something with a job if it is still with the worker that `job` says; return whether it was."""

        async def ask() -> list[dict[str, Any]]:
            return await self.connector.execute_query_all_async(
                query=query, job_id=job.id, worker_id=job.worker_id, **arguments
            )

        return bool(await retry_while_away(ask))


async def delete_ended_jobs(jobs: JobManager) -> None:
    """Delete the jobs that ended a week ago, however they did."""
    await jobs.delete_old_jobs(
        ENDED_JOBS_HOURS, include_failed=True, include_cancelled=True, include_aborted=True
    )
