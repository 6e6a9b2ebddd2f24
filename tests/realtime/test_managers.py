"""The managers: one a user and process, gone with the last socket, closed to everyone else."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from agents.models import Run
from contexts.context import UserExecutionContext
from contexts.database import call_in_thread
from contexts.exceptions import ContextClosedError, ContextIsolationError
from contexts.factory import UserContextFactory, managed_user_context
from contexts.manager import get_context_manager
from contexts.models import User
from contexts.sign_ins import SignIn, SignInKind, SignInProof
from realtime.bridge import AgentWebSocketBridge
from realtime.connection import Connection
from realtime.emitter import UserWebSocketEmitter
from realtime.envelopes import Envelope, pack_envelopes
from realtime.managers import (
    get_manager_registry_status,
    get_websocket_manager,
    reset_manager_registry,
)
from realtime.protocol import QuotaUpdated, SessionRevoked
from tests.factories import Cast, make_run, make_thread
from tests.realtime.happenings import record
from tests.realtime.sockets import OpenSocket


async def context_of(user: User) -> UserExecutionContext:
    return await call_in_thread(UserContextFactory().for_request, user.id)


def run_context_of(run: Run) -> UserExecutionContext:
    return UserContextFactory().for_run(
        user_id=run.user_id, tenant_id=run.tenant_id, thread_id=run.thread_id, run_id=run.id, agent_context={}
    )


def sign_in_of(context: UserExecutionContext) -> SignIn:
    proof = SignInProof(
        user_id=context.user_id, kind=SignInKind.TOKEN, reference="", password_mark="nobody looks"
    )
    return SignIn(proof=proof, expires_at=datetime.now(UTC) + timedelta(hours=1))


def revoked(user: User) -> SessionRevoked:
    return SessionRevoked(user_id=user.id, reason="Signed out elsewhere.")


def quota(user: User) -> QuotaUpdated:
    amounts = {"limit": 10, "used": 1, "reserved": 0, "remaining": 9, "soft_limit": 8}
    return QuotaUpdated(user_id=user.id, resource="agent_runs", window="day", resets_at=None, **amounts)


async def test_a_user_has_one_manager_and_another_user_another(cast: Cast) -> None:
    contexts = [await context_of(user) for user in (cast.alice, cast.alice, cast.bob)]
    first, second, other = (get_websocket_manager(context) for context in contexts)
    assert first is second
    assert first is not other
    assert get_manager_registry_status().managers == 2
    assert await reset_manager_registry() == 2
    assert get_manager_registry_status().managers == 0
    for context in contexts:
        await get_context_manager().cleanup_context(context.context_id)
    with pytest.raises(ContextClosedError):
        get_websocket_manager(contexts[0])
    with pytest.raises(TypeError):
        get_websocket_manager(None)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        UserWebSocketEmitter(None)  # type: ignore[arg-type]


@pytest.mark.mission_critical("P6")
async def test_a_manager_refuses_another_users_socket_and_frames(cast: Cast) -> None:
    alices, carols = await context_of(cast.alice), await context_of(cast.carol)

    async def send(text: str) -> None:
        raise AssertionError("nothing may be sent")

    connection = Connection(carols, sign_in=sign_in_of(carols), send=send)
    with pytest.raises(ContextIsolationError):
        get_websocket_manager(alices).add_connection(uuid4(), connection)
    with pytest.raises(ContextIsolationError):
        connection.deliver([Envelope.of_account(revoked(cast.alice))])
    with pytest.raises(ContextIsolationError):
        pack_envelopes({cast.carol.id: [Envelope.of_account(revoked(cast.alice))]}, origin="here")
    await reset_manager_registry()
    for context in (alices, carols):
        await get_context_manager().cleanup_context(context.context_id)


@pytest.mark.mission_critical("P7")
async def test_nothing_follows_a_revocation(cast: Cast) -> None:
    context = await context_of(cast.alice)
    sent: list[str] = []

    async def send(text: str) -> None:
        sent.append(text)

    connection = Connection(context, sign_in=sign_in_of(context), send=send)
    connection.outbox.start()
    connection.deliver([Envelope.of_account(quota(cast.alice))])
    connection.revoke("Over.")
    connection.deliver([Envelope.of_account(quota(cast.alice))])
    await connection.finish()
    assert [json.loads(text)["type"] for text in sent] == ["quota_updated", "session_revoked"]
    await get_context_manager().cleanup_context(context.context_id)


@pytest.mark.mission_critical("P6")
async def test_an_emitter_refuses_what_is_not_its_users(cast: Cast, open_socket: OpenSocket) -> None:
    run = await call_in_thread(lambda: make_run(make_thread(cast.alice)))
    event = await record(run, 1)
    socket = await open_socket(cast.alice)
    for user in (cast.bob, cast.carol):
        context = await context_of(user)
        emitter = UserWebSocketEmitter(context)
        with pytest.raises(ContextIsolationError):
            emitter.emit_account([quota(user), quota(cast.alice)])
        with pytest.raises(ContextIsolationError):
            emitter.emit_events([event])
        await get_context_manager().cleanup_context(context.context_id)
    assert await socket.hears_nothing()


async def test_account_frames_reach_all_the_users_sockets(cast: Cast, open_socket: OpenSocket) -> None:
    sockets = [await open_socket(cast.alice), await open_socket(cast.alice)]
    other = await open_socket(cast.bob)
    context = await context_of(cast.alice)
    UserWebSocketEmitter(context).emit_account([quota(cast.alice)])
    for socket in sockets:
        assert (await socket.receive())["type"] == "quota_updated"
    assert await other.hears_nothing()
    UserWebSocketEmitter(context).emit_account([revoked(cast.alice)])
    for socket in sockets:
        assert (await socket.receive())["type"] == "session_revoked"
        assert await socket.close_code() == 4401
    await get_context_manager().cleanup_context(context.context_id)


@pytest.mark.mission_critical("P6")
async def test_a_bridge_carries_its_own_run_alone(cast: Cast, open_socket: OpenSocket) -> None:
    runs = [await call_in_thread(lambda: make_run(make_thread(cast.alice))) for _ in range(2)]
    socket = await open_socket(cast.alice)
    for run in runs:
        await socket.ask(type="subscribe", thread_id=str(run.thread_id))
    events = [await record(run, 1) for run in runs]
    async with managed_user_context(await call_in_thread(run_context_of, runs[0])) as context:
        bridge = AgentWebSocketBridge(context)
        with pytest.raises(ContextIsolationError):
            bridge.send_events([events[1]])
        bridge.send_events([events[0]])
    assert (await socket.receive())["run_id"] == str(runs[0].id)
    assert await socket.hears_nothing()
    with pytest.raises(TypeError):
        AgentWebSocketBridge(None)  # type: ignore[arg-type]


async def test_a_manager_is_one_for_a_user_and_gone_with_the_last_socket(
    cast: Cast, open_socket: OpenSocket
) -> None:
    context = await context_of(cast.alice)
    unused = get_websocket_manager(context)
    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(get_websocket_manager, [context] * 64)) == {unused}
    first, second = await open_socket(cast.alice), await open_socket(cast.alice)
    assert get_manager_registry_status().connections_by_user == {cast.alice.id: 2}
    assert get_websocket_manager(context) is unused
    for socket in (first, second):
        await socket.leave()
    assert get_manager_registry_status().managers == 0
    assert get_websocket_manager(context) is not unused
    await get_context_manager().cleanup_context(context.context_id)
    assert get_manager_registry_status().managers == 0


async def test_a_restart_closes_all_sockets_with_1012(cast: Cast, open_socket: OpenSocket) -> None:
    socket = await open_socket(cast.alice)
    assert await reset_manager_registry() == 1
    assert await socket.close_code() == 1012
