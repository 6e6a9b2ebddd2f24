"""A run worker: takes jobs from the queue, and back from workers that died."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

from django.conf import settings
from procrastinate import App
from procrastinate.contrib.django import app as django_app
from prometheus_client import REGISTRY

from agents.admission_changes import admit_after_changes
from agents.analysis.charts import warm_up as warm_up_charts
from agents.analysis.prices import find_prices
from agents.datasets.query_process import QueryProcess
from agents.engine_factory import ExecutionEngineFactory
from agents.event_writer import close_event_writer, get_event_writer
from agents.execution import RunExecutor
from agents.job_loop import RunWorker, rescue_what_was_lost, work_on
from agents.job_manager import PatientJobManager
from agents.llm.models import check_model_setting
from agents.loop_watch import LoopWatch
from agents.memory_limit import limit_memory
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

ABORT_POLL_SECONDS = 0.5
"""How often a busy worker looks for runs to be cancelled, should the notification of it get lost."""


async def run_worker(*, concurrency: int | None = None, handle_signals: bool = False) -> None:
    """Work until cancelled (or, with `handle_signals`, until SIGINT or SIGTERM), then hand back.

    Steps of runs that are under way then have `NETRA_STOP_GRACE_S` to end.

    Raises:
        ImproperlyConfigured: when the model setting cannot be used.
    """
    check_model_setting()
    limit_memory()
    manager = get_context_manager()
    engines = ExecutionEngineFactory(manager=manager, registry=AgentRegistry())
    executor = RunExecutor(contexts=UserContextFactory(manager), engines=engines)
    figures = EngineCollector(engines)
    REGISTRY.register(figures)
    get_event_writer()
    app = django_app.with_connector(django_app.connector.get_worker_connector())  # type: ignore[attr-defined]
    app.job_manager = jobs = PatientJobManager(app.connector)
    async with app.open_async():
        rescuing = rescue_what_was_lost(jobs, executor, every=settings.STALLED_AFTER_SECONDS / 4)
        rescue = asyncio.create_task(rescuing, name="rescue-lost-jobs")
        listener = get_change_listener()
        receivers = (admit_after_changes, RunReview(engines).apply)
        subscriptions = [listener.subscribe(receive) for receive in receivers]
        sweeping = asyncio.create_task(sweep_contexts(), name="sweep-contexts")
        idling = asyncio.create_task(engines.close_idle_engines(), name="close-idle-engines")
        warming = asyncio.create_task(asyncio.to_thread(_warm_up), name="warm-up")
        try:
            make = partial(_make_worker, app, executor, concurrency or settings.WORKER_CONCURRENCY)
            async with LoopWatch():
                await work_on(make, executor, handle_signals=handle_signals)
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


def _make_worker(app: App, executor: RunExecutor, concurrency: int) -> RunWorker:
    stalled_after = settings.STALLED_AFTER_SECONDS
    return RunWorker(
        on_stop=executor.hand_back,
        app=app,
        queues=[QUEUE, HOUSEKEEPING],
        name="netra",
        concurrency=concurrency,
        install_signal_handlers=False,
        delete_jobs="successful",
        shutdown_graceful_timeout=settings.STOP_GRACE_SECONDS,
        fetch_job_polling_interval=2.0,
        abort_job_polling_interval=ABORT_POLL_SECONDS,
        update_heartbeat_interval=stalled_after / 4,
        stalled_worker_timeout=stalled_after,
        additional_context={EXECUTOR: executor},
    )
