"""The job queue, as the services use it: within their own transaction."""

from uuid import UUID

from django.conf import settings
from django.db import connection
from procrastinate.contrib.django import app

from agents.models import Run

EXECUTE_RUN = "agents.tasks.execute_run"
QUEUE = "runs"
HOUSEKEEPING = "housekeeping"

_UNDER_WAY = """
SELECT FROM procrastinate_jobs AS job JOIN procrastinate_workers AS worker ON worker.id = job.worker_id
WHERE job.id = %s AND job.status = 'doing' AND worker.last_heartbeat > now() - make_interval(secs => %s)
"""


def enqueue_run(run: Run) -> int:
    """Defer the job of a run, seen by workers when the transaction commits; return the job's id.

    Jobs are done in their tenants' turns: see `agents.line`.
    """
    task = app.configure_task(EXECUTE_RUN, queue=QUEUE, priority=-_take_turn(run.tenant_id))
    return int(task.defer(run_id=str(run.id), user_id=str(run.user_id), tenant_id=str(run.tenant_id)))


def _take_turn(tenant_id: UUID) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT netra_take_turn(%s, %s)", [tenant_id, QUEUE])
        return int(cursor.fetchone()[0])


def abort_job(run: Run) -> None:
    """Have the run's job dropped from the queue, or interrupted where it is being done."""
    if run.job_id is not None:
        app.job_manager.cancel_job_by_id(run.job_id, abort=True)


def is_under_way(run: Run) -> bool:
    """Tell whether a worker is doing the run's job, and has given a sign of life lately."""
    with connection.cursor() as cursor:
        cursor.execute(_UNDER_WAY, [run.job_id, settings.STALLED_AFTER_SECONDS])
        return cursor.fetchone() is not None
