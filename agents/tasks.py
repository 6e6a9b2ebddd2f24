"""The jobs that workers do."""

from uuid import UUID

from procrastinate import BaseRetryStrategy, JobContext
from procrastinate.contrib.django import app
from procrastinate.job_context import AbortReason
from procrastinate.jobs import Job
from procrastinate.retry import RetryDecision

from agents import housekeeping
from agents.execution import RunExecutor
from agents.job_manager import delete_ended_jobs
from agents.journal import RunHandedBackError
from agents.queueing import EXECUTE_RUN, HOUSEKEEPING, QUEUE
from contexts.database import call_in_thread

EXECUTOR = "run_executor"


class RunRetry(BaseRetryStrategy):
    """A run that was handed back is queued again at once; one that failed to begin, a little later.

    It keeps its priority, and so its turn. How often a run may be lost is for `agents.admission` to say.
    """

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision:
        """Return when the job is to be taken on again."""
        if isinstance(exception, RunHandedBackError):
            return RetryDecision()
        return RetryDecision(retry_in={"seconds": min(2**job.attempts, 60)})


@app.task(name=EXECUTE_RUN, queue=QUEUE, pass_context=True, retry=RunRetry())
async def execute_run(job: JobContext, run_id: str, user_id: str, tenant_id: str) -> None:
    """Carry a run out with the worker's executor."""
    executor: RunExecutor = job.additional_context[EXECUTOR]
    await executor.execute(
        UUID(run_id),
        user_id=UUID(user_id),
        tenant_id=UUID(tenant_id),
        is_stopping=lambda: job.abort_reason() == AbortReason.SHUTDOWN,
    )


@app.periodic(cron="* * * * *")
@app.task(
    name="agents.tasks.release_expired_leases", queue=HOUSEKEEPING, queueing_lock="release_expired_leases"
)
async def release_expired_leases(timestamp: int) -> None:
    """Refund what dead processes had reserved, every minute."""
    await call_in_thread(housekeeping.release_expired_leases)


@app.periodic(cron="17 3 * * *")
@app.task(name="agents.tasks.prune", queue=HOUSEKEEPING, queueing_lock="prune", pass_context=True)
async def prune(job: JobContext, timestamp: int) -> None:
    """Delete history, quota ledger and ended jobs that are past their retention, every night (UTC)."""
    await call_in_thread(housekeeping.prune)
    await delete_ended_jobs(job.app.job_manager)
