"""The job queue, as the services use it: within their own transaction."""

from uuid import UUID

from procrastinate.contrib.django import app

from agents.models import Run

EXECUTE_RUN = "agents.tasks.execute_run"
QUEUE = "runs"


def enqueue_run(run_id: UUID, *, user_id: UUID, tenant_id: UUID, concurrent_runs: int) -> int:
    """Defer the job of a run, seen by workers when the transaction commits; return the job's id.

    `concurrent_runs` is how many runs the user may have at once: a worker waits with this one
    until they have a place.
    """
    task = app.configure_task(EXECUTE_RUN, queue=QUEUE)
    return int(
        task.defer(
            run_id=str(run_id),
            user_id=str(user_id),
            tenant_id=str(tenant_id),
            concurrent_runs=concurrent_runs,
        )
    )


def abort_job(run: Run) -> None:
    """Have the run's job dropped from the queue, or interrupted where it is being done."""
    if run.job_id is not None:
        app.job_manager.cancel_job_by_id(run.job_id, abort=True)
