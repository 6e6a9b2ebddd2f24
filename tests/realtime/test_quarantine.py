"""Sockets of users whose contexts are quarantined: closed with 4403, whoever notices and wherever."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest

from agents.event_writer import close_event_writer
from agents.models import Run, RunEvent
from contexts.context import UserExecutionContext
from contexts.database import call_in_thread, close_async_pool
from contexts.incidents import flush_incidents, record_incident
from contexts.isolation import Breach
from contexts.manager import get_context_manager
from contexts.models import BreachKind, ContextRecord, Detector, SecurityIncident, User
from realtime import quarantine
from tests.agents.running import ask, execute, scripted
from tests.factories import Cast
from tests.realtime.sockets import OpenSocket

pytestmark = pytest.mark.mission_critical("P6")


@pytest.fixture(autouse=True)
async def _nothing_left() -> AsyncIterator[None]:
    yield
    await flush_incidents()
    await close_event_writer()
    await close_async_pool()
    assert quarantine._sockets == {}


async def context_of_socket(user: User) -> UserExecutionContext:
    record = await call_in_thread(ContextRecord.objects.get, user=user, operation="socket", closed_at=None)
    return get_context_manager().get_context(record.id)


def breach_of(*contexts: UserExecutionContext, blocked: bool = True) -> Breach:
    return Breach(
        kind=BreachKind.SHARED_OBJECT,
        detector=Detector.ON_WRITE,
        blocked=blocked,
        contexts=contexts,
        details={"path": "state['rows']"},
    )


async def test_a_quarantined_socket_closes_with_4403(cast: Cast, open_socket: OpenSocket) -> None:
    socket = await open_socket(cast.alice)
    context = await context_of_socket(cast.alice)
    await asyncio.to_thread(get_context_manager().quarantine, context.context_id, "on purpose")
    assert await socket.close_code() == 4403


async def test_a_breach_closes_all_sockets_of_those_involved_and_no_others(
    cast: Cast, open_socket: OpenSocket
) -> None:
    carols = await open_socket(cast.carol)
    alices = [await open_socket(cast.alice) for _ in range(2)]
    bobs = await open_socket(cast.bob)
    manager = get_context_manager()
    offender = manager.create_context(cast.alice.id, "free", tenant_id=cast.acme.id)
    owner = manager.create_context(cast.carol.id, "free", tenant_id=cast.globex.id)
    await asyncio.to_thread(manager.report_breach, breach_of(offender, owner))
    for socket in (*alices, carols):
        assert await socket.close_code() == 4403
    assert await bobs.hears_nothing()
    for context in (offender, owner):
        await manager.cleanup_context(context.context_id)


async def test_a_breach_that_quarantined_nobody_closes_no_socket(cast: Cast, open_socket: OpenSocket) -> None:
    socket = await open_socket(cast.alice)
    context = await context_of_socket(cast.alice)
    await asyncio.to_thread(record_incident, breach_of(context, blocked=False))
    assert await socket.hears_nothing()


async def test_a_quarantined_user_may_sign_in_again(cast: Cast, open_socket: OpenSocket) -> None:
    socket = await open_socket(cast.alice)
    context = await context_of_socket(cast.alice)
    await asyncio.to_thread(get_context_manager().quarantine, context.context_id, "on purpose")
    assert await socket.close_code() == 4403
    await socket.leave()
    again = await open_socket(cast.alice)
    assert (await again.ask(type="ping"))["type"] == "pong"


async def test_an_answer_with_anothers_canary_ends_run_and_socket(
    cast: Cast, open_socket: OpenSocket
) -> None:
    canary = f"canary-{uuid4().hex}"
    await open_socket(cast.carol)
    get_context_manager().guard.add_canary(await context_of_socket(cast.carol), canary)
    socket = await open_socket(cast.alice)
    run_id: UUID = await call_in_thread(ask, cast.alice, "hello")
    thread_id = (await call_in_thread(Run.objects.get, id=run_id)).thread_id
    await socket.ask(type="subscribe", thread_id=str(thread_id))
    await execute(run_id, scripted(reply=f"It is {canary}."))
    assert await socket.close_code() == 4403
    event = await call_in_thread(RunEvent.objects.filter(run_id=run_id).latest, "seq")
    assert (event.type, event.data["code"]) == ("run_failed", "quarantined")
    assert not await call_in_thread(RunEvent.objects.filter(data__icontains=canary).exists)
    await flush_incidents()
    assert (await call_in_thread(SecurityIncident.objects.get)).kind == "canary"
