"""The managers: one a user and process, gone with the last socket, closed to everyone else."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from channels.layers import channel_layers, get_channel_layer
from channels_redis.pubsub import RedisPubSubChannelLayer

from contexts.context import UserExecutionContext
from contexts.database import call_in_thread
from contexts.exceptions import ContextClosedError, ContextIsolationError, UnavailableError
from contexts.factory import UserContextFactory
from contexts.manager import get_context_manager
from contexts.models import User
from realtime.auth import SignIn
from realtime.connection import Connection
from realtime.emitter import UserWebSocketEmitter
from realtime.envelopes import Envelope, pack_envelopes, unpack_envelopes
from realtime.groups import user_group
from realtime.managers import (
    get_manager_registry_status,
    get_websocket_manager,
    reset_manager_registry,
)
from realtime.protocol import QuotaUpdated, SessionRevoked
from realtime.publishing import publish_envelopes
from tests.factories import Cast, make_run, make_thread
from tests.realtime.happenings import happen, record
from tests.realtime.sockets import OpenSocket


async def context_of(user: User) -> UserExecutionContext:
    return await call_in_thread(UserContextFactory().for_request, user.id)


def sign_in_of(context: UserExecutionContext) -> SignIn:
    return SignIn(user_id=context.user_id, expires_at=datetime.now(UTC) + timedelta(hours=1))


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
        await get_websocket_manager(alices).add_connection(uuid4(), connection)
    with pytest.raises(ContextIsolationError):
        connection.deliver([Envelope.of_account(revoked(cast.alice))])
    with pytest.raises(ContextIsolationError):
        pack_envelopes(cast.carol.id, [Envelope.of_account(revoked(cast.alice))])
    message = pack_envelopes(cast.alice.id, [Envelope.of_account(revoked(cast.alice))])
    with pytest.raises(ContextIsolationError):
        unpack_envelopes(message, user_id=cast.carol.id)
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
            await emitter.emit_account([quota(user), quota(cast.alice)])
        with pytest.raises(ContextIsolationError):
            await emitter.emit_events([event])
        await get_context_manager().cleanup_context(context.context_id)
    assert await socket.hears_nothing()


async def test_account_frames_reach_all_the_users_sockets(cast: Cast, open_socket: OpenSocket) -> None:
    sockets = [await open_socket(cast.alice), await open_socket(cast.alice)]
    other = await open_socket(cast.bob)
    context = await context_of(cast.alice)
    await UserWebSocketEmitter(context).emit_account([quota(cast.alice)])
    for socket in sockets:
        assert (await socket.receive())["type"] == "quota_updated"
    assert await other.hears_nothing()
    await UserWebSocketEmitter(context).emit_account([revoked(cast.alice)])
    for socket in sockets:
        assert (await socket.receive())["type"] == "session_revoked"
        assert await socket.close_code() == 4401
    await get_context_manager().cleanup_context(context.context_id)


async def test_a_message_of_another_user_in_the_group_is_not_delivered(
    cast: Cast, open_socket: OpenSocket, caplog: pytest.LogCaptureFixture
) -> None:
    socket = await open_socket(cast.alice)
    layer = get_channel_layer()
    assert layer is not None
    message = pack_envelopes(cast.carol.id, [Envelope.of_account(quota(cast.carol))])
    await layer.group_send(user_group(cast.alice.id), message)
    await publish_envelopes(cast.alice.id, [Envelope.of_account(quota(cast.alice))])
    assert (await socket.receive())["user_id"] == str(cast.alice.id)
    assert "for another user" in caplog.text


async def test_a_restart_closes_all_sockets_with_1012(cast: Cast, open_socket: OpenSocket) -> None:
    socket = await open_socket(cast.alice)
    assert await reset_manager_registry() == 1
    assert await socket.close_code() == 1012


class BrokenLayer:
    """A channel layer that fails a number of times; the boundary to another process."""

    def __init__(self, inner: Any, failures: int) -> None:
        self.inner, self.failures = inner, failures

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("the layer is down")
        await self.inner.group_send(group, message)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


@pytest.fixture
def break_layer() -> Any:
    """Return what makes the channel layer fail a number of times."""
    inner = get_channel_layer()
    yield lambda failures: channel_layers.set("default", BrokenLayer(inner, failures))
    channel_layers.set("default", inner)


async def test_a_layer_that_fails_for_a_moment_loses_nothing(
    cast: Cast, open_socket: OpenSocket, break_layer: Any
) -> None:
    run = await call_in_thread(lambda: make_run(make_thread(cast.alice)))
    socket = await open_socket(cast.alice)
    await socket.ask(type="subscribe", thread_id=str(run.thread_id))
    break_layer(2)
    await happen(run, 1, 2)
    assert [(await socket.receive())["seq"] for _ in range(2)] == [1, 2]


async def test_a_layer_that_stays_down_leaves_events_to_the_replay(
    cast: Cast, open_socket: OpenSocket, break_layer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    run = await call_in_thread(lambda: make_run(make_thread(cast.alice)))
    socket = await open_socket(cast.alice)
    await socket.ask(type="subscribe", thread_id=str(run.thread_id))
    break_layer(4)
    await happen(run, 1, 2)
    assert "2 events are left to replay" in caplog.text
    await happen(run, 3)
    assert [(await socket.receive())["seq"] for _ in range(3)] == [1, 2, 3]
    break_layer(9)
    with pytest.raises(UnavailableError):
        await publish_envelopes(cast.alice.id, [Envelope.of_account(quota(cast.alice))], delays_s=(0,))


@pytest.fixture
async def redis_layer(redis_url: str) -> AsyncIterator[RedisPubSubChannelLayer]:
    """Put the Redis layer in the place of the in-memory one."""
    inner = get_channel_layer()
    layer = RedisPubSubChannelLayer(hosts=[redis_url])
    channel_layers.set("default", layer)
    yield layer
    await layer.flush()
    channel_layers.set("default", inner)


@pytest.mark.mission_critical("P1")
async def test_events_pass_through_redis_to_their_owner_alone(
    cast: Cast, redis_layer: RedisPubSubChannelLayer, open_socket: OpenSocket, redis_url: str
) -> None:
    run = await call_in_thread(lambda: make_run(make_thread(cast.alice)))
    socket, outsider = await open_socket(cast.alice), await open_socket(cast.carol)
    await socket.ask(type="subscribe", thread_id=str(run.thread_id))
    # another layer object is what another process has
    elsewhere = RedisPubSubChannelLayer(hosts=[redis_url])
    events = [await record(run, number) for number in (1, 2)]
    message = pack_envelopes(run.user_id, [Envelope.of_event(event) for event in events])
    await elsewhere.group_send(user_group(run.user_id), message)
    assert [(await socket.receive())["seq"] for _ in range(2)] == [1, 2]
    assert await outsider.hears_nothing()
    await elsewhere.flush()
    await socket.leave()
    await outsider.leave()
    assert redis_layer.groups == {}
