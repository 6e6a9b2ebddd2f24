"""A run worker: takes jobs from the queue, and back from workers that died."""

import asyncio
import logging
from contextlib import suppress
from datetime import UTC, datetime

from django.conf import settings
from procrastinate import App
from procrastinate.contrib.django import app as django_app
from procrastinate.exceptions import ConnectorException
from prometheus_client import REGISTRY

from agents.admission_changes import admit_after_changes
from agents.analysis.charts import warm_up as warm_up_charts
from agents.analysis.prices import find_prices
from agents.datasets.query_process import QueryProcess
from agents.engine_factory import ExecutionEngineFactory
from agents.event_writer import close_event_writer, get_event_writer
from agents.execution import RunExecutor
from agents.llm.models import check_model_setting
from agents.prometheus import EngineCollector
from agents.queueing import HOUSEKEEPING, QUEUE
from agents.registry import AgentRegistry
from agents.run_review import RunReview
from agents.tasks import EXECUTOR
from contexts.changes import get_change_listener
from contexts.database import close_async_pool
from contexts.factory import UserContextFactory
from contexts.incidents import flush_incidents
from contexts.manager import get_context_manager
from contexts.sweeper import sweep_contexts

logger = logging.getLogger(__name__)

SHUTDOWN_GRACE_SECONDS = 5.0


async def run_worker(*, concurrency: int | None = None, handle_signals: bool = False) -> None:
    """Work until cancelled (or, with `handle_signals`, until SIGINT or SIGTERM), then hand back.

    Raises:
        ImproperlyConfigured: when the model setting cannot be used.
    """
    check_model_setting()
    manager = get_context_manager()
    engines = ExecutionEngineFactory(manager=manager, registry=AgentRegistry())
    executor = RunExecutor(contexts=UserContextFactory(manager), engines=engines)
    figures = EngineCollector(engines)
    REGISTRY.register(figures)
    get_event_writer()
    stalled_after = settings.STALLED_AFTER_SECONDS
    app = django_app.with_connector(django_app.connector.get_worker_connector())  # type: ignore[attr-defined]
    async with app.open_async():
        rescue = asyncio.create_task(
            _rescue_what_was_lost(app, executor, every=stalled_after / 4), name="rescue-stalled"
        )
        listener = get_change_listener()
        receivers = (admit_after_changes, RunReview(engines).apply)
        subscriptions = [listener.subscribe(receive) for receive in receivers]
        sweeping = asyncio.create_task(sweep_contexts(), name="sweep-contexts")
        idling = asyncio.create_task(engines.close_idle_engines(), name="close-idle-engines")
        warming = asyncio.create_task(asyncio.to_thread(_warm_up), name="warm-up")
        try:
            await app.run_worker_async(
                queues=[QUEUE, HOUSEKEEPING],
                name="netra",
                concurrency=concurrency or settings.WORKER_CONCURRENCY,
                install_signal_handlers=handle_signals,
                delete_jobs="successful",
                shutdown_graceful_timeout=SHUTDOWN_GRACE_SECONDS,
                fetch_job_polling_interval=2.0,
                update_heartbeat_interval=stalled_after / 4,
                stalled_worker_timeout=stalled_after,
                additional_context={EXECUTOR: executor},
            )
        finally:
            for task in (rescue, sweeping, idling, warming):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            await listener.unsubscribe(*subscriptions)
            REGISTRY.unregister(figures)
            await engines.shutdown()
            await manager.cleanup_all()
            await flush_incidents()
            await close_event_writer()
            await close_async_pool()


def _warm_up() -> None:
    """Load price list, chart renderer and query processes, so that the first user need not wait for them."""
    find_prices("gpt-4o", priced_at=datetime.now(UTC))
    warm_up_charts()
    QueryProcess().close()


async def _rescue_what_was_lost(app: App, executor: RunExecutor, *, every: float) -> None:
    while True:
        try:
            await rescue_lost_jobs(app, executor)
        except ConnectorException:
            logger.exception("The search for stalled jobs failed; it is tried again")
        await asyncio.sleep(every)


async def rescue_lost_jobs(app: App, executor: RunExecutor) -> int:
    """Queue the jobs again whose workers send no heartbeats any more; return how many.

    Those that `executor` is carrying out are none of them: it was this process that stood still, as on a
    laptop that was closed.
    """
    rescued = 0
    for job in await app.job_manager.get_stalled_jobs(
        queue=QUEUE, seconds_since_heartbeat=settings.STALLED_AFTER_SECONDS
    ):
        if job.task_kwargs.get("run_id") not in executor.run_ids:
            logger.warning("Job %s was lost by its worker and is queued again", job.id)
            await app.job_manager.retry_job(job)
            rescued += 1
    return rescued
