"""What a socket does by the clock."""

from datetime import timedelta

import pytest
from rest_framework_simplejwt.tokens import AccessToken

from contexts.database import call_in_thread
from contexts.manager import get_context_manager
from contexts.models import ContextRecord, User
from tests.factories import Cast
from tests.realtime.sockets import OpenSocket, Socket


async def opened_for(user: User, seconds: float) -> Socket:
    token = AccessToken.for_user(user)
    token.set_exp(lifetime=timedelta(seconds=seconds))
    return await Socket(subprotocols=["netra.v1", f"bearer.{token}"]).connect()


async def test_a_sign_in_that_ends_is_announced_and_closes_with_4401(cast: Cast) -> None:
    socket = await opened_for(cast.alice, 2)
    frames = await socket.receive_until("session_expiring")
    assert [frame["type"] for frame in frames] == ["connection_established", "session_expiring"]
    assert frames[1]["expires_at"] == frames[0]["expires_at"]
    assert await socket.close_code() == 4401


async def test_a_refresh_in_time_keeps_the_socket(cast: Cast) -> None:
    socket = await opened_for(cast.alice, 2)
    await socket.receive_until("session_expiring")
    longer = AccessToken.for_user(cast.alice)
    longer.set_exp(lifetime=timedelta(seconds=4))
    assert (await socket.ask(type="refresh_token", access=str(longer)))["type"] == "ack"
    # announced anew for the new end, which shows that the old one no longer counts
    assert (await socket.receive())["type"] == "session_expiring"
    assert await socket.close_code() == 4401


async def test_a_long_lived_sockets_context_is_renewed(
    cast: Cast, open_socket: OpenSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime.clock.RENEW_CONTEXT_AFTER", timedelta(0))
    monkeypatch.setattr("realtime.clock.TICK_S", 0.02)
    manager = get_context_manager()
    socket = await open_socket(cast.alice)
    record = await call_in_thread(ContextRecord.objects.get, user=cast.alice, closed_at=None)
    context = manager.get_context(record.id)
    first = (manager._register._open[context.context_id].expires_at, record.expires_at)
    while True:
        assert (await socket.ask(type="ping"))["type"] == "pong"
        await call_in_thread(record.refresh_from_db)
        renewed = (manager._register._open[context.context_id].expires_at, record.expires_at)
        if all(later > earlier for earlier, later in zip(first, renewed, strict=True)):
            break
    assert manager.get_context(record.id) is context
    await socket.leave()
    assert not manager.is_open(context)


async def test_a_deactivated_users_socket_is_not_renewed(
    cast: Cast, open_socket: OpenSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime.clock.RENEW_CONTEXT_AFTER", timedelta(0))
    monkeypatch.setattr("realtime.clock.TICK_S", 0.02)
    socket = await open_socket(cast.alice)
    await call_in_thread(User.objects.filter(id=cast.alice.id).update, is_active=False)
    assert await socket.close_code() == 4401


async def test_a_socket_whose_context_was_closed_ends(
    cast: Cast, open_socket: OpenSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime.clock.RENEW_CONTEXT_AFTER", timedelta(0))
    monkeypatch.setattr("realtime.clock.TICK_S", 0.02)
    socket = await open_socket(cast.alice)
    record = await call_in_thread(ContextRecord.objects.get, user=cast.alice, closed_at=None)
    await get_context_manager().cleanup_context(record.id)
    assert await socket.close_code() == 1012
