"""Running what users ask, as a worker does, with models that tests script."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import connection
from pydantic_ai.models import Model
from pydantic_ai.models.function import DeltaToolCall, FunctionModel

from agents.admission import begin_run
from agents.cancelling import cancel_run
from agents.engine_factory import ExecutionEngineFactory
from agents.event_log import EventLog
from agents.events import Delta, Event
from agents.execution import RunExecutor
from agents.models import Run, RunEvent
from agents.registry import AgentRegistry
from agents.runs import start_run
from agents.state import TriageResult
from agents.uploads import store_dataset
from contexts.context import UserExecutionContext
from contexts.database import call_in_thread, close_async_pool
from contexts.factory import UserContextFactory, managed_user_context
from contexts.manager import UserContextManager, get_context_manager
from contexts.models import User
from realtime.quota_reports import flush_quota_reports

LOG = "created_at,model,prompt_tokens,completion_tokens\n2026-01-01T00:00:00Z,gpt-4o,1000,100\n"


class Recorder:
    """An event sink that remembers, and that tests can wait on."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.deltas: list[Delta] = []
        self.arrived = asyncio.Event()

    def deliver_events(self, events: Sequence[Event], context: UserExecutionContext | None) -> None:
        self.events += events
        self.arrived.set()

    def deliver_delta(self, delta: Delta, context: UserExecutionContext) -> None:
        self.deltas.append(delta)

    async def flush(self) -> None: ...

    async def wait_for(self, event_type: str, *, times: int = 1) -> None:
        while self.types.count(event_type) < times:
            self.arrived.clear()
            await self.arrived.wait()

    def of(self, run_id: UUID) -> list[Event]:
        """The events of one run."""
        return [event for event in self.events if event.run_id == run_id]

    @property
    def types(self) -> list[str]:
        return [event.type for event in self.events]


def ask(user: User, text: str = "Where does our AI spend go?") -> UUID:
    with managed_user_context(UserContextFactory().for_request(user.id)) as context:
        return start_run(context, thread_id=None, text=text, now=datetime.now(UTC)).run_id


def cancel(user: User, run_id: UUID) -> None:
    with managed_user_context(UserContextFactory().for_request(user.id)) as context:
        cancel_run(context, run_id)


def take_job(run: Run) -> None:
    """Have the run's job done by a worker that gives signs of life, as while the run is carried out."""
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH worker AS (INSERT INTO procrastinate_workers DEFAULT VALUES RETURNING id)"
            " UPDATE procrastinate_jobs SET status = 'doing', worker_id = worker.id FROM worker"
            " WHERE procrastinate_jobs.id = %s",
            [run.job_id],
        )


def begin(run_id: UUID) -> Any:
    """Take the run on as its next attempt, which has to succeed."""
    run = Run.objects.get(id=run_id)
    take_job(run)
    return begin_run(run_id, UserContextFactory(), user_id=run.user_id, tenant_id=run.tenant_id)


def leave_nothing() -> None:
    """Close what a synchronous test has left open: the contexts of runs begun, and connections."""

    async def close() -> None:
        await get_context_manager().cleanup_all()
        await flush_quota_reports()
        await close_async_pool()

    asyncio.run(close())


def log_of(begun: Any) -> EventLog:
    return EventLog(begun.context, attempt=begun.attempt, last_seq=begun.last_seq)


async def begin_all(user: User, count: int) -> tuple[list[UUID], list[EventLog]]:
    runs = [await call_in_thread(ask, user, f"Question {number}") for number in range(count)]
    return runs, [log_of(await call_in_thread(begin, run_id)) for run_id in runs]


def engines_with(
    model: Model | None = None, *, manager: UserContextManager | None = None
) -> ExecutionEngineFactory:
    registry = AgentRegistry(choose_model=lambda *_: model) if model else AgentRegistry()
    return ExecutionEngineFactory(manager=manager or get_context_manager(), registry=registry)


async def execute(
    run_id: UUID,
    model: Model | None = None,
    *,
    engines: ExecutionEngineFactory | None = None,
    manager: UserContextManager | None = None,
    is_stopping: Callable[[], bool] = lambda: False,
) -> None:
    """Carry a run out, with the offline model unless another is given; its owner is told the quotas."""
    run = await call_in_thread(Run.objects.get, id=run_id)
    await call_in_thread(take_job, run)
    executor = RunExecutor(
        contexts=UserContextFactory(manager), engines=engines or engines_with(model, manager=manager)
    )
    await executor.execute(run_id, user_id=run.user_id, tenant_id=run.tenant_id, is_stopping=is_stopping)
    await flush_quota_reports()  # each of which opens a context for a moment


def stored_events(run_id: UUID) -> list[RunEvent]:
    return list(RunEvent.objects.filter(run_id=run_id).order_by("seq"))


def stored_types(run_id: UUID) -> list[str]:
    return [event.type for event in stored_events(run_id)]


def scripted(
    *, stuck: asyncio.Event | None = None, error: Exception | None = None, reply: str = "Hello."
) -> FunctionModel:
    """Return a model whose triage answers by itself, after waiting for ever or raising as told."""

    async def stream(messages: Any, info: Any) -> Any:
        if stuck is not None:
            stuck.set()
            await asyncio.Event().wait()
        if error is not None:
            raise error
        result = TriageResult(category="small_talk", reason="A greeting.", reply=reply)
        yield {0: DeltaToolCall(name=info.output_tools[0].name, json_args=result.model_dump_json())}

    return FunctionModel(stream_function=stream)


def reporting(
    *chunks: str, tool: str | None = None, arguments: str = "{}", thought: str | None = None
) -> FunctionModel:
    """Return a model whose reporter streams `chunks`, after it has called `tool` if one is given.

    Triage hands off at once, thinking `thought` aloud if one is given.
    """

    async def stream(messages: Any, info: Any) -> Any:
        if info.output_tools:
            if thought is not None:
                yield thought
            result = TriageResult(
                category="spend_breakdown", reason="It is about money.", next_agents=["reporting"]
            )
            call = DeltaToolCall(name=info.output_tools[0].name, json_args=result.model_dump_json())
            yield {1: call}
        elif tool is not None and not _has_called(messages):
            yield {0: DeltaToolCall(name=tool, json_args=arguments, tool_call_id="call-1")}
        else:
            for chunk in chunks:
                yield chunk

    return FunctionModel(stream_function=stream)


def _has_called(messages: Any) -> bool:
    return any(part.part_kind == "tool-return" for message in messages for part in message.parts)


def upload(user: User, folder: Path, *, model: str = "gpt-4o") -> str:
    """Store a small log as the user's and return its id."""
    file = folder / "log.csv"
    file.write_text(LOG.replace("gpt-4o", model))
    with managed_user_context(UserContextFactory().for_request(user.id)) as context:
        dataset = store_dataset(
            context, file=file, filename="log.csv", name="", assume_model=None, now=datetime.now(UTC)
        )
    return str(dataset.id)
