"""How many sockets a user may have: exact over all processes, given back, and lost only to be taken again."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from channels.layers import channel_layers, get_channel_layer
from django.utils import timezone
from rest_framework_simplejwt.tokens import AccessToken

from contexts.database import call_in_thread
from contexts.leases import get_lease_keeper
from contexts.manager import get_context_manager
from contexts.models import ContextRecord, QuotaReservation, QuotaUsage, User
from contexts.quotas import reserve_quota
from contexts.selectors import standing_of
from tests.factories import Cast, make_run, make_thread
from tests.realtime.happenings import record
from tests.realtime.sockets import OpenSocket, Socket
from tests.waiting import eventually

SOCKET = {"websocket_connections": 1}


async def connected(user: User) -> Socket:
    """Open a socket whose first frame or close code is not read yet."""
    token = AccessToken.for_user(user)
    return await Socket(subprotocols=["netra.v1", f"bearer.{token}"]).connect()


async def outcome(socket: Socket) -> Any:
    """Return the type of a socket's first frame, or the code that it is closed with."""
    message = await socket.communicator.receive_output(10)
    return message.get("code") or "open"


def reserved(user: User) -> int:
    usage = QuotaUsage.objects.filter(user=user, resource="websocket_connections").first()
    return int(usage.reserved) if usage else 0


def places() -> list[UUID]:
    return list(QuotaReservation.objects.filter(purpose="socket").order_by("id").values_list("id", flat=True))


def elsewhere(user: User, *, ttl: timedelta = timedelta(minutes=1)) -> None:
    """Take a place as another process does for a socket of its own."""
    reserve_quota(standing_of(user.id), SOCKET, ttl, purpose="socket")


async def test_of_sockets_that_race_for_the_last_place_exactly_one_gets_it(cast: Cast) -> None:
    sockets = [await connected(cast.carol)]
    assert await outcome(sockets[0]) == "open"
    sockets += await asyncio.gather(*[connected(cast.carol) for _ in range(4)])
    outcomes = await asyncio.gather(*[outcome(socket) for socket in sockets[1:]])
    assert sorted(map(str, outcomes)) == ["4429", "4429", "4429", "open"]
    assert await call_in_thread(reserved, cast.carol) == 2
    for socket in sockets:
        await socket.leave()
    assert await call_in_thread(reserved, cast.carol) == 0


async def test_sockets_of_other_processes_count(cast: Cast, open_socket: OpenSocket) -> None:
    await call_in_thread(elsewhere, cast.carol)
    await open_socket(cast.carol)
    assert await outcome(await connected(cast.carol)) == 4429


async def test_a_place_of_a_process_that_died_is_free_once_its_lease_has_expired(
    cast: Cast, open_socket: OpenSocket
) -> None:
    for _ in range(2):
        await call_in_thread(elsewhere, cast.carol)
    assert await outcome(await connected(cast.carol)) == 4429
    # Nobody renews them; their time is up.
    await call_in_thread(QuotaReservation.objects.update, expires_at=timezone.now())
    await open_socket(cast.carol)
    assert await call_in_thread(reserved, cast.carol) == 1


async def test_a_place_is_kept_while_the_socket_is_open_and_given_back_when_it_goes(
    cast: Cast, open_socket: OpenSocket
) -> None:
    held = len(get_lease_keeper())
    socket = await open_socket(cast.alice)
    before = (await call_in_thread(QuotaReservation.objects.get)).expires_at
    assert len(get_lease_keeper()) == held + 1
    await call_in_thread(get_lease_keeper().renew)
    assert (await call_in_thread(QuotaReservation.objects.get)).expires_at > before
    await socket.leave()
    assert len(get_lease_keeper()) == held
    assert await call_in_thread(places) == []
    assert await call_in_thread(reserved, cast.alice) == 0


@pytest.fixture
def layer_without_channels() -> Iterator[None]:
    """Put a channel layer in place that gives out no channel, as one whose server is gone."""
    inner = get_channel_layer()

    class Layer:
        async def new_channel(self) -> str:
            raise ConnectionError("the layer is down")

        def __getattr__(self, name: str) -> Any:
            return getattr(inner, name)

    channel_layers.set("default", Layer())
    yield
    channel_layers.set("default", inner)


@pytest.mark.usefixtures("layer_without_channels")
async def test_a_socket_opens_without_the_layer_and_reads_the_log_instead(
    cast: Cast, open_socket: OpenSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime.clock.TICK_S", 0.05)
    run = await call_in_thread(lambda: make_run(make_thread(cast.alice)))
    socket = await open_socket(cast.alice)
    await socket.ask(type="subscribe", thread_id=str(run.thread_id))
    await record(run, 1)
    # Sent by another process, whose message cannot come.
    await socket.ask(type="resume", cursors={str(run.id): 0})
    await record(run, 2)
    assert [(await socket.receive())["seq"] for _ in range(2)] == [1, 2]


async def test_a_socket_that_opens_half_way_leaves_no_place_behind(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("half way")

    monkeypatch.setattr("realtime.open_socket.get_socket_clock", fail)
    held, contexts = len(get_lease_keeper()), len(get_context_manager())
    socket = await connected(cast.carol)
    assert await socket.close_code() == 1011
    await socket.communicator.wait(10)
    assert await call_in_thread(reserved, cast.carol) == 0
    assert (len(get_lease_keeper()), len(get_context_manager())) == (held, contexts)


async def test_a_refused_socket_leaves_no_context_behind(cast: Cast) -> None:
    for _ in range(2):
        await call_in_thread(elsewhere, cast.carol)
    before = len(get_context_manager())
    socket = await connected(cast.carol)
    assert await socket.close_code() == 4429
    await socket.communicator.wait(10)
    assert len(get_context_manager()) == before
    assert await call_in_thread(ContextRecord.objects.filter(closed_at=None).count) == 0


async def test_a_lost_place_is_taken_again(cast: Cast, open_socket: OpenSocket) -> None:
    socket = await open_socket(cast.carol)
    (lost,) = await call_in_thread(places)
    # As after the machine slept longer than a lease lasts.
    await call_in_thread(QuotaReservation.objects.update, expires_at=timezone.now())
    await call_in_thread(get_lease_keeper().renew)
    await eventually(lambda: places() not in ([], [lost]))
    assert await call_in_thread(reserved, cast.carol) == 1
    assert await socket.hears_nothing()
    await socket.leave()
    assert await call_in_thread(places) == []
    assert await call_in_thread(reserved, cast.carol) == 0


async def test_a_socket_whose_place_was_lost_to_others_closes_with_4429(
    cast: Cast, open_socket: OpenSocket
) -> None:
    socket = await open_socket(cast.carol)
    await call_in_thread(QuotaReservation.objects.update, expires_at=timezone.now())
    for _ in range(2):
        await call_in_thread(elsewhere, cast.carol)
    await call_in_thread(get_lease_keeper().renew)
    assert await socket.close_code() == 4429
    await socket.leave()
    assert await call_in_thread(reserved, cast.carol) == 2
