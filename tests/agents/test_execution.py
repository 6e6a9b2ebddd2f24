"""A run from begin to end: exactly one end, whatever happens on the way."""

import asyncio
import gc
import threading
import weakref

import pytest
from django.db import connection, transaction

from agents.event_writer import get_event_writer
from agents.execution import RunExecutor, RunHandedBackError
from agents.models import Message, Run
from agents.outcomes import RunOutcome, finish_run
from agents.usage import Usage
from contexts.database import async_pool, call_in_thread
from contexts.factory import UserContextFactory
from contexts.manager import UserContextManager, get_context_manager
from contexts.models import ContextRecord, QuotaUsage, TierLimit
from tests.agents.running import (
    ask,
    begin,
    begin_all,
    cancel,
    engines_with,
    execute,
    scripted,
    stored_types,
)
from tests.factories import make_cast
from tests.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True)
FIVE = ["agent_started", "agent_thinking", "tool_executing", "tool_completed", "agent_completed"]


@pytest.fixture
def alice():
    return make_cast().alice


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
    task = asyncio.create_task(execute(run_id, scripted(stuck=stuck), is_stopping=lambda: True))
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
async def test_a_call_that_was_cut_off_is_told_to_have_ended(alice, recorder):
    (run_id,), (log,) = await begin_all(alice, 1)
    call = {"call_id": "c1", "tool_name": "list_datasets"}
    await log.append("agent_started", agent_name="triage", data={"agents": []})
    await log.append("tool_executing", agent_name="triage", data={**call, "params": {}})
    await execute(run_id, scripted())
    ended = [event.data for event in recorder.events if event.data.get("call_id") == "c1"][-1]
    assert (ended["ok"], ended["error"]["code"]) == (False, "worker_lost")
    assert recorder.types[-1] == "agent_completed"


@pytest.mark.mission_critical("P3")
async def test_a_run_that_is_lost_three_times_fails(alice, recorder):
    run_id = await call_in_thread(ask, alice)
    for _ in range(3):
        await call_in_thread(begin, run_id)
    await execute(run_id, scripted())
    await get_context_manager().cleanup_all()
    assert recorder.events[-1].data == {
        "code": "worker_lost",
        "message": "The run was begun 3 times and lost each time.",
        "retryable": True,
    }


@pytest.mark.mission_critical("P3")
async def test_a_run_that_ends_after_its_cancellation_was_asked_for_is_cancelled(alice, recorder):
    run_id = await call_in_thread(ask, alice, "hello")
    begun = await call_in_thread(begin, run_id)
    await call_in_thread(cancel, alice, run_id)
    outcome = RunOutcome.completed(answer="Hi.", html="", recommendations=[], usage=Usage(), duration_ms=1)
    event = await call_in_thread(finish_run, begun.context, outcome, attempt=begun.attempt)
    assert event.type == "run_cancelled"
    assert await call_in_thread(finish_run, begun.context, outcome, attempt=begun.attempt) is None
    await get_context_manager().cleanup_all()


@pytest.mark.mission_critical("P6")
async def test_nothing_keeps_a_context_alive_once_its_run_has_ended(alice, recorder, monkeypatch):
    get_event_writer()
    await async_pool()
    contexts = weakref.WeakSet()
    create = UserContextManager.create_context

    def remembering(self, *args, **fields):
        context = create(self, *args, **fields)
        contexts.add(context)
        return context

    monkeypatch.setattr(UserContextManager, "create_context", remembering)
    engines = engines_with()
    for text in ("hello", "Where does our AI spend go?"):
        await execute(await call_in_thread(ask, alice, text), engines=engines)
    assert recorder.types.count("agent_completed") == 2
    gc.collect()
    assert [context.operation for context in contexts] == []


class UnfitFactory(UserContextFactory):
    """Makes no context for a run, for a reason that nobody thought of."""

    def for_run(self, **_):
        raise OverflowError("date value out of range")


@pytest.mark.mission_critical("P3")
async def test_a_run_that_cannot_be_begun_ends_as_failed(alice, recorder, caplog):
    run_id = await call_in_thread(ask, alice)
    executor = RunExecutor(contexts=UnfitFactory(), engines=engines_with())
    run = await call_in_thread(Run.objects.get, id=run_id)
    await executor.execute(run_id, user_id=run.user_id, tenant_id=run.tenant_id, is_stopping=lambda: False)
    assert recorder.types[-1] == "run_failed"
    assert (recorder.events[-1].data["code"], recorder.events[-1].data["retryable"]) == ("internal", True)
    assert "date value out of range" in caplog.text


@pytest.mark.mission_critical("P3")
@pytest.mark.parametrize("is_stopping", [True, False])
async def test_a_run_that_is_being_begun_when_its_worker_stops_is_given_back(alice, recorder, is_stopping):
    run_id = await call_in_thread(ask, alice)
    held, let_go = threading.Event(), threading.Event()

    def hold():
        with transaction.atomic():
            Run.objects.select_for_update().get(id=run_id)
            held.set()
            let_go.wait(30)

    holding = asyncio.create_task(call_in_thread(hold))
    await asyncio.to_thread(held.wait, 30)
    working = asyncio.create_task(execute(run_id, is_stopping=lambda: is_stopping))
    await eventually(_somebody_waits_for_a_lock)
    working.cancel()
    await asyncio.sleep(0)
    let_go.set()
    with pytest.raises(RunHandedBackError):
        await working
    await holding
    run = await call_in_thread(Run.objects.get, id=run_id)
    assert (run.attempt, run.hand_backs) == (1, 1)
    assert len(get_context_manager()) == 0
    await execute(run_id)
    assert recorder.types[-1] == "agent_completed"


def _somebody_waits_for_a_lock():
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM pg_locks WHERE NOT granted")
        return cursor.fetchone() is not None
