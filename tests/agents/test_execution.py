import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from pydantic_ai.models.function import DeltaToolCall, FunctionModel

from agents.admission import begin_run
from agents.engine_factory import ExecutionEngineFactory
from agents.event_log import EventLog, FencedError, register_event_sink, unregister_event_sink
from agents.event_writer import close_event_writer
from agents.execution import RunExecutor, RunHandedBackError
from agents.models import Message, Run, RunEvent
from agents.outcomes import RunOutcome, Usage, finish_run
from agents.registry import AgentRegistry
from agents.runs import cancel_run, start_run
from agents.state import TriageResult
from contexts.context import UserExecutionContext
from contexts.database import call_in_thread, close_async_pool
from contexts.exceptions import ConflictError, ContextIsolationError
from contexts.factory import UserContextFactory, managed_user_context
from contexts.identifiers import new_id
from contexts.manager import UserContextManager, get_context_manager
from contexts.models import ContextRecord, QuotaUsage, TierLimit
from tests.factories import make_cast

pytestmark = pytest.mark.django_db(transaction=True)
FIVE = ["agent_started", "agent_thinking", "tool_executing", "tool_completed", "agent_completed"]


class Recorder:
    """An event sink that remembers, and that tests can wait on."""

    def __init__(self):
        self.events = []
        self.deltas = []
        self.arrived = asyncio.Condition()

    async def deliver_events(self, events):
        async with self.arrived:
            self.events += events
            self.arrived.notify_all()

    async def deliver_delta(self, delta):
        self.deltas.append(delta)

    async def wait_for(self, event_type):
        async with self.arrived:
            await self.arrived.wait_for(lambda: any(event.type == event_type for event in self.events))

    @property
    def types(self):
        return [event.type for event in self.events]


@pytest.fixture
async def recorder():
    sink = Recorder()
    register_event_sink(sink)
    yield sink
    unregister_event_sink(sink)
    await close_event_writer()
    await close_async_pool()


@pytest.fixture
def alice():
    return make_cast().alice


def ask(user, text="Where does our AI spend go?"):
    with managed_user_context(UserContextFactory().for_request(user.id)) as context:
        return start_run(context, thread_id=None, text=text, now=datetime.now(UTC)).run_id


def cancel(user, run_id):
    with managed_user_context(UserContextFactory().for_request(user.id)) as context:
        cancel_run(context, run_id)


def executor(model=None):
    registry = AgentRegistry(choose_model=lambda *_: model) if model else AgentRegistry()
    manager = get_context_manager()
    return RunExecutor(
        contexts=UserContextFactory(manager),
        engines=ExecutionEngineFactory(manager=manager, registry=registry),
    )


async def execute(run_id, model=None):
    await executor(model).execute(run_id, user_id=new_id(), concurrent_runs=10, is_stopping=lambda: False)


def stored_types(run_id):
    return list(RunEvent.objects.filter(run_id=run_id).order_by("seq").values_list("type", flat=True))


def scripted(*, stuck: asyncio.Event | None = None, error: Exception | None = None):
    """Return a model whose triage answers by itself, after waiting or raising as told."""

    async def stream(messages, info):
        if stuck is not None:
            stuck.set()
            await asyncio.sleep(3_600)
        if error is not None:
            raise error
        result = TriageResult(category="small_talk", reason="A greeting.", reply="Hello.")
        yield {0: DeltaToolCall(name=info.output_tools[0].name, json_args=result.model_dump_json())}

    return FunctionModel(stream_function=stream)


@pytest.mark.mission_critical("P2")
async def test_every_run_has_the_five_events_in_order_and_numbered_without_a_gap(alice, recorder):
    run_id = await call_in_thread(ask, alice, "hello")
    await execute(run_id)
    own = [event for event in recorder.events if event.run_id == run_id]
    assert [event.seq for event in own] == list(range(1, len(own) + 1))
    first = [next(event.seq for event in own if event.type == name) for name in FIVE]
    assert first == sorted(first)
    assert await call_in_thread(stored_types, run_id) == [event.type for event in own]
    run = await call_in_thread(Run.objects.get, id=run_id)
    assert run.status == "completed"
    answer = await call_in_thread(Message.objects.get, run_id=run_id, author="assistant")
    assert answer.text == own[-1].data["final_response"]
    assert str(answer.id) == own[-1].data["message_id"]


@pytest.mark.mission_critical("P2")
async def test_events_are_committed_before_anyone_sees_them(alice, recorder):
    seen = []

    class Checker:
        async def deliver_events(self, events):
            for event in events:
                seen.append(
                    await call_in_thread(RunEvent.objects.filter(run_id=event.run_id, seq=event.seq).exists)
                )

        async def deliver_delta(self, delta): ...

    checker = Checker()
    register_event_sink(checker)
    try:
        await execute(await call_in_thread(ask, alice, "hello"))
    finally:
        unregister_event_sink(checker)
    assert len(seen) > 5
    assert all(seen)


async def test_an_ended_run_leaves_no_context_and_no_reservation(alice, recorder):
    run_id = await call_in_thread(ask, alice, "hello")
    await execute(run_id)
    assert len(get_context_manager()) == 0
    assert not await call_in_thread(ContextRecord.objects.filter(closed_at=None).exists)
    assert await call_in_thread(ContextRecord.objects.filter(run_id=run_id).exists)
    usage = await call_in_thread(QuotaUsage.objects.get, user=alice, resource="agent_runs")
    assert (usage.used, usage.reserved) == (1, 0)


@pytest.mark.mission_critical("P3")
@pytest.mark.mission_critical("P8")
async def test_an_agent_that_raises_ends_only_its_own_run(alice, recorder, caplog):
    run_id = await call_in_thread(ask, alice)
    await execute(run_id, scripted(error=ZeroDivisionError("on purpose")))
    assert recorder.types[-1] == "run_failed"
    assert recorder.events[-1].data["code"] == "internal"
    assert "on purpose" not in str(recorder.events[-1].data)
    assert "on purpose" in caplog.text
    run = await call_in_thread(Run.objects.get, id=run_id)
    assert (run.status, run.error_code) == ("failed", "internal")


@pytest.mark.mission_critical("P3")
async def test_a_run_past_its_time_ends_as_timeout(alice, recorder):
    limit = TierLimit.objects.filter(tier__slug="enterprise", resource="run_seconds")
    await call_in_thread(limit.update, limit=1)
    await execute(await call_in_thread(ask, alice), scripted(stuck=asyncio.Event()))
    assert recorder.events[-1].type == "run_failed"
    assert recorder.events[-1].data["code"] == "timeout"


@pytest.mark.mission_critical("P3")
async def test_a_cancelled_run_ends_once_as_cancelled(alice, recorder):
    run_id = await call_in_thread(ask, alice)
    stuck = asyncio.Event()
    task = asyncio.create_task(execute(run_id, scripted(stuck=stuck)))
    await stuck.wait()
    await call_in_thread(cancel, alice, run_id)
    task.cancel()
    await task
    assert recorder.types.count("run_cancelled") == 1
    assert recorder.types[-1] == "run_cancelled"
    assert (await call_in_thread(Run.objects.get, id=run_id)).status == "cancelled"


@pytest.mark.mission_critical("P3")
async def test_a_stopping_worker_hands_its_run_back_and_another_finishes_it(alice, recorder):
    run_id = await call_in_thread(ask, alice, "hello")
    stuck = asyncio.Event()
    first = executor(scripted(stuck=stuck))
    task = asyncio.create_task(
        first.execute(run_id, user_id=alice.id, concurrent_runs=10, is_stopping=lambda: True)
    )
    await stuck.wait()
    task.cancel()
    with pytest.raises(RunHandedBackError):
        await task
    await execute(run_id, scripted())
    types = await call_in_thread(stored_types, run_id)
    assert types.count("agent_started") == 1
    assert types.count("run_resumed") == 1
    assert types[-1] == "agent_completed"
    assert (await call_in_thread(Run.objects.get, id=run_id)).attempt == 2


@pytest.mark.mission_critical("P3")
async def test_an_attempt_that_was_overtaken_can_write_nothing(alice, recorder):
    run_id = await call_in_thread(ask, alice)
    factory = UserContextFactory()
    early = await call_in_thread(begin_run, run_id, factory)
    late = await call_in_thread(begin_run, run_id, factory)
    try:
        log = EventLog(early.context, attempt=early.attempt, last_seq=early.last_seq)
        with pytest.raises(FencedError):
            await log.append("agent_thinking", agent_name="triage", data={"step": 1, "text": "Still me?"})
        log = EventLog(late.context, attempt=late.attempt, last_seq=late.last_seq)
        await log.append("agent_thinking", agent_name="triage", data={"step": 1, "text": "Me."})
    finally:
        await get_context_manager().cleanup_all()
    assert await call_in_thread(stored_types, run_id) == ["run_queued", "agent_thinking"]


@pytest.mark.mission_critical("P3")
async def test_a_call_that_was_cut_off_is_told_to_have_ended(alice, recorder):
    (run_id,), (log,) = await begin_all(alice, 1)
    call = {"call_id": "c1", "tool_name": "list_datasets"}
    await log.append("agent_started", agent_name="triage", data={"agents": []})
    await log.append("tool_executing", agent_name="triage", data={**call, "params": {}})
    await execute(run_id, scripted())
    await get_context_manager().cleanup_all()
    ended = [event.data for event in recorder.events if event.data.get("call_id") == "c1"][-1]
    assert (ended["ok"], ended["error"]["code"]) == (False, "worker_lost")
    assert recorder.types[-1] == "agent_completed"


@pytest.mark.mission_critical("P3")
async def test_a_run_that_is_lost_three_times_fails(alice, recorder):
    run_id = await call_in_thread(ask, alice)
    for _ in range(3):
        await call_in_thread(begin_run, run_id, UserContextFactory())
    await execute(run_id, scripted())
    await get_context_manager().cleanup_all()
    assert recorder.events[-1].data == {
        "code": "worker_lost",
        "message": "The run was begun 3 times and lost each time.",
        "retryable": True,
    }


async def begin_all(user, count):
    runs = [await call_in_thread(ask, user, f"Question {number}") for number in range(count)]
    begun = [await call_in_thread(begin_run, run_id, UserContextFactory()) for run_id in runs]
    logs = [EventLog(run.context, attempt=run.attempt, last_seq=run.last_seq) for run in begun]
    return runs, logs


async def think(log, text):
    return await log.append("agent_thinking", agent_name="triage", data={"step": 1, "text": text})


async def test_one_bad_event_does_not_take_the_others_with_it(alice, recorder):
    _, logs = await begin_all(alice, 3)
    texts = ["fine", object(), "fine too"]
    results = await asyncio.gather(*map(think, logs, texts), return_exceptions=True)
    await get_context_manager().cleanup_all()
    assert [isinstance(result, Exception) for result in results] == [False, True, False]


@pytest.mark.mission_critical("P2")
async def test_what_could_not_be_appended_leaves_no_gap(alice, recorder):
    (run_id,), (log,) = await begin_all(alice, 1)
    with pytest.raises(TypeError):
        await think(log, object())
    cancelled = asyncio.create_task(think(log, "Cancelled while it is written."))
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.gather(cancelled, return_exceptions=True)
    parallel = await asyncio.gather(*(think(log, f"Thought {number}") for number in range(5)))
    await log.settle()
    await get_context_manager().cleanup_all()
    assert len(await call_in_thread(stored_types, run_id)) == parallel[-1].seq
    assert [event.seq for event in recorder.events if event.run_id == run_id][1:] == list(
        range(2, parallel[-1].seq + 1)
    )


async def test_characters_that_the_database_refuses_are_replaced(alice, recorder):
    (_,), (log,) = await begin_all(alice, 1)
    event = await think(log, "a NUL \0 and half a pair \ud83d")
    await get_context_manager().cleanup_all()
    assert event.data["text"] == "a NUL \ufffd and half a pair \ufffd"


@pytest.mark.mission_critical("P3")
async def test_a_run_that_ends_after_its_cancellation_was_asked_for_is_cancelled(alice, recorder):
    run_id = await call_in_thread(ask, alice, "hello")
    begun = await call_in_thread(begin_run, run_id, UserContextFactory())
    await call_in_thread(cancel, alice, run_id)
    outcome = RunOutcome.completed(answer="Hi.", html="", recommendations=[], usage=Usage(), duration_ms=1)
    event = await call_in_thread(finish_run, run_id, outcome, attempt=begun.attempt)
    assert event.type == "run_cancelled"
    assert await call_in_thread(finish_run, run_id, outcome, attempt=begun.attempt) is None
    await get_context_manager().cleanup_all()


async def test_a_user_waits_for_a_free_place(alice):
    engines = ExecutionEngineFactory(manager=UserContextManager(), registry=AgentRegistry())
    order = []

    async def work(name, release):
        async with engines.user_place(alice.id, concurrent_runs=1):
            order.append(name)
            await release.wait()

    release = asyncio.Event()
    tasks = [asyncio.create_task(work(name, release)) for name in ("first", "second")]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert order == ["first"]
    release.set()
    await asyncio.gather(*tasks)
    assert order == ["first", "second"]


def test_a_factory_needs_its_dependencies():
    with pytest.raises(TypeError):
        ExecutionEngineFactory(manager=None, registry=AgentRegistry())
    with pytest.raises(TypeError):
        ExecutionEngineFactory(manager=UserContextManager(), registry=None)


async def test_a_run_has_one_engine(alice, recorder):
    run_id = await call_in_thread(ask, alice)
    begun = await call_in_thread(begin_run, run_id, UserContextFactory())
    engines = ExecutionEngineFactory(manager=get_context_manager(), registry=AgentRegistry())
    log = EventLog(begun.context, attempt=begun.attempt, last_seq=begun.last_seq)

    async with engines.user_execution_scope(begun.context, log) as engine:
        with pytest.raises(ConflictError):
            engines.create_for_user(begun.context, log)
        stranger = UserExecutionContext(
            user_id=alice.id,
            tenant_id=begun.context.tenant_id,
            role="owner",
            tier="enterprise",
            operation="run",
            deadline=datetime.now(UTC) + timedelta(seconds=5),
        )
        with pytest.raises(ContextIsolationError):
            await engine.run(stranger, begun.state, resumed=False)
    assert engines.active_engines == 0
    await get_context_manager().cleanup_all()
