"""The engine factory: limits, clean-up, idle engines, and trouble with what engines need."""

import asyncio
import gc
import weakref
from datetime import UTC, datetime, timedelta

import pybreaker
import pytest

from agents.dispatcher import UnifiedToolDispatcher
from agents.engine import UserExecutionEngine
from agents.engine_factory import IDLE_SECONDS, ExecutionEngineFactory
from agents.event_log import EventLog
from agents.event_writer import close_event_writer
from agents.registry import AgentRegistry
from agents.state import DeepAgentState
from contexts.database import call_in_thread
from contexts.exceptions import (
    ConflictError,
    ContextClosedError,
    ContextIsolationError,
    QuotaExceededError,
    UnavailableError,
)
from contexts.identifiers import new_id
from contexts.manager import UserContextManager, get_context_manager
from contexts.preferences import Preferences
from tests.agents.running import ask, begin_all, engines_with, execute, scripted, stored_types
from tests.factories import make_cast

PATIENCE_S = 20


class Clock:
    """Time that passes when told to."""

    def __init__(self):
        self.moment = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self):
        return self.moment.timestamp()

    def now(self, zone):
        return self.moment

    def advance(self, seconds):
        self.moment += timedelta(seconds=seconds)


class Models:
    """A choice of models that fails while told to, and counts how often it was asked."""

    def __init__(self):
        self.asked = 0
        self.error = None
        self.model = scripted()

    def __call__(self, specification, context):
        self.asked += 1
        if self.error is not None:
            raise self.error
        return self.model


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def models():
    return Models()


@pytest.fixture
async def manager():
    manager = UserContextManager()
    yield manager
    await manager.cleanup_all()
    await close_event_writer()


@pytest.fixture
def engines(manager, models, clock):
    return ExecutionEngineFactory(manager=manager, registry=AgentRegistry(choose_model=models), clock=clock)


@pytest.fixture
def make(manager, engines):
    """Return what makes an engine for a new run."""

    def make(user_id=None, *, concurrent_runs=1, run_id=None, **fields):
        context = manager.create_context(
            user_id or new_id(), "free", run_id=run_id or new_id(), thread_id=new_id(), **fields
        )
        log = EventLog(context, attempt=1, last_seq=0, manager=manager)
        return engines.create_for_user(context, log, concurrent_runs=concurrent_runs)

    return make


def test_a_factory_needs_its_dependencies():
    with pytest.raises(TypeError):
        ExecutionEngineFactory(manager=None, registry=AgentRegistry())
    with pytest.raises(TypeError):
        ExecutionEngineFactory(manager=UserContextManager(), registry=None)


async def test_what_is_made_and_cleaned_is_counted(engines, make):
    first, second = make(), make()
    assert await engines.cleanup_engine(first)
    assert not await engines.cleanup_engine(first)
    counts = engines.metrics()
    assert (counts.created, counts.cleaned, counts.active) == (2, 1, 1)
    assert engines.active_engines == 1
    assert await engines.cleanup_engine(second)
    assert engines.active_engines == 0


async def test_a_third_engine_of_a_user_is_refused(engines, make):
    user_id = new_id()
    engine, _ = make(user_id), make(user_id)
    with pytest.raises(QuotaExceededError) as refusal:
        make(user_id)
    assert (refusal.value.resource, refusal.value.limit) == ("concurrent_runs", 2)
    assert engines.metrics().rejected_by_limit == 1
    make()
    make(user_id, concurrent_runs=3)
    with pytest.raises(QuotaExceededError):
        make(user_id, concurrent_runs=3)
    await engines.cleanup_engine(engine)
    make(user_id, concurrent_runs=3)


async def test_a_rejected_engine_leaves_nothing_behind(engines, make, manager, models, monkeypatch):
    user_id = new_id()
    make(user_id)
    make(user_id)
    asked = models.asked
    dispatchers = []
    monkeypatch.setattr(UnifiedToolDispatcher, "__init__", lambda *_: dispatchers.append(1))
    before = set(manager._register._open)
    with pytest.raises(QuotaExceededError):
        make(user_id)
    (rejected,) = set(manager._register._open) - before
    assert manager._register._open[rejected].close_callbacks == []
    assert (engines.active_engines, models.asked, dispatchers) == (2, asked, [])
    context = weakref.ref(manager.get_context(rejected))
    await manager.cleanup_context(rejected)
    gc.collect()
    assert context() is None


async def test_a_run_has_one_engine(engines, make):
    run_id = new_id()
    make(run_id=run_id)
    with pytest.raises(ConflictError):
        make(run_id=run_id)
    assert engines.active_engines == 1


async def test_an_engine_needs_an_open_context_with_a_run(engines, manager):
    context = manager.create_context(new_id(), "free", run_id=new_id(), thread_id=new_id())
    log = EventLog(context, attempt=1, last_seq=0, manager=manager)
    with pytest.raises(ConflictError):
        engines.create_for_user(manager.create_context(new_id(), "free"), log)
    await manager.cleanup_context(context.context_id)
    with pytest.raises(ContextClosedError):
        engines.create_for_user(context, log)
    assert engines.active_engines == 0


async def test_idle_engines_are_closed_after_five_minutes(engines, make, clock):
    make()
    clock.advance(IDLE_SECONDS - 1)
    young = make()
    assert await engines.close_idle() == 0
    clock.advance(1)
    assert await engines.close_idle() == 1
    assert list(engines._active.values()) == [young]
    assert engines.metrics().idle_closed == 1


async def test_the_loop_closes_idle_engines(engines, make, clock, monkeypatch):
    make()
    closed = asyncio.Event()
    close = UserExecutionEngine.close

    async def telling(engine):
        await close(engine)
        closed.set()

    monkeypatch.setattr(UserExecutionEngine, "close", telling)
    clock.advance(IDLE_SECONDS)
    loop = asyncio.create_task(engines.close_idle_engines(every=0))
    await closed.wait()
    loop.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loop
    assert (engines.active_engines, engines.metrics().cleaned) == (0, 1)


async def test_a_closed_engine_runs_no_more(engines, make):
    engine = make()
    await engines.cleanup_engine(engine)
    with pytest.raises(ContextClosedError):
        await engine.run(engine.context, None, resumed=False)


async def test_shutting_down_closes_all_and_refuses_more(engines, make):
    make()
    make()
    assert await engines.shutdown() == 2
    assert engines.active_engines == 0
    with pytest.raises(UnavailableError):
        make()
    assert engines.metrics().created == 2


async def test_a_users_engines_are_closed_with_their_contexts(engines, make, manager):
    user_id = new_id()
    mine, other = [make(user_id), make(user_id)], make()
    assert await engines.cleanup_user_context(user_id) == 2
    assert not any(manager.is_open(engine.context) for engine in mine)
    assert manager.is_open(other.context)
    assert list(engines._active.values()) == [other]


async def test_an_engine_that_fails_to_close_is_gone_and_counted(engines, make, monkeypatch, caplog):
    engine = make()

    def fail(self):
        raise OSError("on purpose")

    monkeypatch.setattr(UnifiedToolDispatcher, "close", fail)
    assert await engines.cleanup_engine(engine)
    assert (engines.active_engines, engines.metrics().cleanup_errors) == (0, 1)
    assert str(engine.context.run_id) in caplog.text


async def test_the_factory_recovers_when_what_failed_works_again(engines, make, models):
    models.error = UnavailableError("There is no key.")
    for _ in range(4):
        with pytest.raises(UnavailableError, match="no key"):
            make()
    models.error = None
    make()
    assert (engines.active_engines, engines.metrics().creation_errors) == (1, 4)
    models.error = UnavailableError("There is no key.")
    for _ in range(4):  # counted from the start again
        with pytest.raises(UnavailableError, match="no key"):
            make()


async def test_five_failures_open_the_breaker_and_ten_seconds_half_open_it(
    engines, make, models, clock, monkeypatch
):
    monkeypatch.setattr(pybreaker, "datetime", clock)
    models.error = RuntimeError("The provider's setting is broken.")
    for _ in range(5):
        with pytest.raises(RuntimeError):
            make()
    models.error = None
    asked = models.asked
    clock.advance(9.9)
    with pytest.raises(UnavailableError, match="several times"):
        make()
    assert models.asked == asked  # it was left alone
    clock.advance(0.2)
    models.error = UnavailableError("There is no key.")
    with pytest.raises(UnavailableError, match="no key"):
        make()  # half open: one trial, which opens it again
    models.error = None
    with pytest.raises(UnavailableError, match="several times"):
        make()
    clock.advance(10.1)
    make()
    make()
    assert engines.active_engines == 2
    assert engines._breakers._breakers == {}


@pytest.mark.mission_critical("P6")
async def test_one_users_broken_model_does_not_stop_the_others(engines, make, models):
    models.error = UnavailableError("There is no key.")
    for _ in range(6):
        with pytest.raises(UnavailableError):
            make(preferences=Preferences(model="other:model"))
    models.error = None
    with pytest.raises(UnavailableError):
        make(preferences=Preferences(model="other:model"))
    make()
    assert engines.active_engines == 1


async def test_a_run_out_of_time_is_counted(engines, manager):
    context = manager.create_context(new_id(), "free", run_id=new_id(), thread_id=new_id())
    log = EventLog(context, attempt=1, last_seq=0, manager=manager)
    with pytest.raises(TimeoutError):
        async with engines.user_execution_scope(context, log):
            raise TimeoutError
    assert (engines.metrics().timeouts, engines.active_engines) == (1, 0)


@pytest.mark.mission_critical("P6")
async def test_an_engine_refuses_any_context_but_its_own(make, manager):
    engine = make()
    stranger = manager.create_context(new_id(), "free", run_id=new_id(), thread_id=new_id())
    sibling = manager.create_context(
        engine.context.user_id, "free", run_id=engine.context.run_id, thread_id=new_id()
    )
    for context in (stranger, sibling):
        with pytest.raises(ContextIsolationError):
            await engine.run(context, None, resumed=False)


@pytest.mark.django_db(transaction=True)
async def test_a_running_engine_is_not_idle_and_ends_when_it_is_closed(recorder):
    alice = (await call_in_thread(make_cast)).alice
    run_id = await call_in_thread(ask, alice)
    stuck = asyncio.Event()
    engines = engines_with(scripted(stuck=stuck))
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
        tasks.create_task(execute(run_id, engines=engines))
        await stuck.wait()
        engines._clock = lambda: float("inf")
        assert await engines.close_idle() == 0
        assert await engines.cleanup_user_context(alice.id) == 1
    assert recorder.events[-1].data["code"] == "context_closed"
    assert (await call_in_thread(stored_types, run_id)).count("run_failed") == 1
    assert (engines.active_engines, len(get_context_manager())) == (0, 0)


@pytest.mark.django_db(transaction=True)
async def test_a_model_that_cannot_be_used_ends_the_run_as_unavailable(recorder, models):
    alice = (await call_in_thread(make_cast)).alice
    models.error = UnavailableError("There is no key.")
    engines = ExecutionEngineFactory(
        manager=get_context_manager(), registry=AgentRegistry(choose_model=models)
    )
    await execute(await call_in_thread(ask, alice), engines=engines)
    assert recorder.events[-1].type == "run_failed"
    assert (recorder.events[-1].data["code"], recorder.events[-1].data["retryable"]) == ("unavailable", True)
    assert engines.metrics().creation_errors == 1


@pytest.mark.django_db(transaction=True)
async def test_an_engine_is_at_work_once(recorder):
    alice = (await call_in_thread(make_cast)).alice
    _, (log,) = await begin_all(alice, 1)
    stuck = asyncio.Event()
    engines = engines_with(scripted(stuck=stuck))

    async def run(engine):
        await engine.run(log.context, DeepAgentState(question="hello"), resumed=False)

    async def run_until_closed(engine):
        with pytest.raises(ContextClosedError):
            await run(engine)

    async with (
        asyncio.timeout(PATIENCE_S),
        asyncio.TaskGroup() as tasks,
        engines.user_execution_scope(log.context, log) as engine,
    ):
        tasks.create_task(run_until_closed(engine))
        await stuck.wait()
        with pytest.raises(ConflictError):
            await run(engine)
