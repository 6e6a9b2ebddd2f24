"""The jobs that workers do."""

from uuid import UUID

from procrastinate import JobContext, RetryStrategy
from procrastinate.contrib.django import app
from procrastinate.job_context import AbortReason

from agents.execution import RunExecutor
from agents.queueing import EXECUTE_RUN, QUEUE

EXECUTOR = "run_executor"


@app.task(name=EXECUTE_RUN, queue=QUEUE, pass_context=True, retry=RetryStrategy(max_attempts=5, wait=1))
async def execute_run(
    job: JobContext, run_id: str, user_id: str, tenant_id: str, concurrent_runs: int
) -> None:
    """Carry a run out with the worker's executor."""
    executor: RunExecutor = job.additional_context[EXECUTOR]
    await executor.execute(
        UUID(run_id),
        user_id=UUID(user_id),
        tenant_id=UUID(tenant_id),
        concurrent_runs=concurrent_runs,
        is_stopping=lambda: job.abort_reason() == AbortReason.SHUTDOWN,
    )
