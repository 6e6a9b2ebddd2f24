"""Runs under way end when their user may not ask any more, and nobody else's do."""

import asyncio

import pytest

from agents.engine_factory import ExecutionEngineFactory
from agents.run_review import RunReview
from contexts.changes import LISTENING, get_change_listener
from contexts.database import call_in_thread
from contexts.models import Membership, Tenant, TierLimit, User
from tests.agents.running import ask, engines_with, execute, scripted
from tests.factories import make_cast
from tests.waiting import eventually

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.mission_critical("P7")]


@pytest.fixture
def cast():
    return make_cast()


async def run_until_stuck(user, engines, stuck):
    run_id = await call_in_thread(ask, user)
    task = asyncio.create_task(execute(run_id, engines=engines))
    await stuck.wait()
    stuck.clear()
    return run_id, task


async def listen(engines: ExecutionEngineFactory):
    heard = []
    review = RunReview(engines)

    async def receive(changes):
        await review.apply(changes)
        heard.extend(changes)

    subscription = get_change_listener().subscribe(receive)
    await eventually(lambda: LISTENING in heard)
    return subscription, heard


def deactivate(cast):
    User.objects.filter(id=cast.carol.id).update(is_active=False)


def expel(cast):
    Membership.objects.filter(user=cast.carol).delete()


def demote(cast):
    Membership.objects.filter(user=cast.carol).update(role="viewer")


def close_tenant(cast):
    Tenant.objects.filter(id=cast.globex.id).update(is_active=False)


@pytest.mark.parametrize("end", [deactivate, expel, demote, close_tenant])
async def test_a_run_ends_when_its_user_may_not_ask_any_more(cast, recorder, end):
    stuck = asyncio.Event()
    engines = engines_with(scripted(stuck=stuck))
    subscription, _ = await listen(engines)
    _, others = await run_until_stuck(cast.alice, engines, stuck)
    run_id, own = await run_until_stuck(cast.carol, engines, stuck)
    try:
        await call_in_thread(end, cast)
        async with asyncio.timeout(15):
            await own
        last = recorder.of(run_id)[-1]
        assert (last.type, last.data["code"]) == ("run_failed", "permission_denied")
        assert not others.done()
    finally:
        others.cancel()
        await asyncio.wait([others])
        await get_change_listener().unsubscribe(subscription)


async def test_a_lower_limit_ends_no_run(cast, recorder):
    stuck = asyncio.Event()
    engines = engines_with(scripted(stuck=stuck))
    subscription, heard = await listen(engines)
    run_id, own = await run_until_stuck(cast.carol, engines, stuck)
    try:
        await call_in_thread(lambda: TierLimit.objects.filter(resource="agent_runs").update(limit=0))
        await eventually(lambda: any(change.kind == "limits" for change in heard))
        assert [event.type for event in recorder.of(run_id)][-1] != "run_failed"
    finally:
        own.cancel()
        await asyncio.wait([own])
        await get_change_listener().unsubscribe(subscription)
