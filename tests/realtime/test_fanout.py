"""Between processes: through the channel layer, and from the log for what the layer does not carry."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import msgpack
import pytest
from channels.layers import channel_layers, get_channel_layer
from channels_redis.pubsub import RedisPubSubChannelLayer
from django.utils import timezone

from agents.events import Event
from agents.models import Run
from contexts.database import call_in_thread
from realtime.envelopes import Envelope, pack_envelopes, sealed_envelopes, unpack_envelopes
from realtime.fanout import GROUP, Fanout, get_fanout
from tests.factories import Cast, make_run, make_thread
from tests.realtime.happenings import happen, record
from tests.realtime.sockets import OpenSocket


class FailingLayer:
    """A channel layer that fails a number of times; the boundary to another process."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.failures, self.sent = inner, 0, 0

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("the layer is down")
        self.sent += 1
        await self.inner.group_send(group, message)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


@pytest.fixture
async def layer(redis_url: str) -> AsyncIterator[FailingLayer]:
    """Put a Redis layer in the place of the in-memory one."""
    before = get_channel_layer()
    layer = FailingLayer(RedisPubSubChannelLayer(hosts=[redis_url]))
    channel_layers.set("default", layer)
    yield layer
    await layer.flush()
    channel_layers.set("default", before)


@pytest.fixture
async def elsewhere(redis_url: str) -> AsyncIterator[RedisPubSubChannelLayer]:
    """Return what another process has: a layer of its own."""
    layer = RedisPubSubChannelLayer(hosts=[redis_url])
    yield layer
    await layer.flush()


async def from_elsewhere(layer: RedisPubSubChannelLayer, *events: Event) -> None:
    by_user: dict[UUID, list[Envelope]] = {}
    for event in events:
        by_user.setdefault(event.user_id, []).append(Envelope.of_event(event))
    await layer.group_send(GROUP, pack_envelopes(by_user, origin="elsewhere"))


async def until_whole() -> None:
    give_up_at = time.monotonic() + 10
    while not get_fanout().is_whole:
        assert time.monotonic() < give_up_at
        await asyncio.sleep(0.01)


def test_processes_of_an_earlier_version_and_this_one_understand_each_other() -> None:
    own = [Envelope(uuid4(), "message_delta", "{}", uuid4(), uuid4(), None, attempt) for attempt in (None, 7)]
    own = [envelope._replace(user_id=own[0].user_id) for envelope in own]
    message = msgpack.unpackb(msgpack.packb(pack_envelopes({own[0].user_id: own}, origin="here")))
    ((user_id, sealed),) = sealed_envelopes(message)
    assert unpack_envelopes(user_id, sealed) == own
    # As an earlier version reads it, and writes it.
    ((_, rows),) = message["users"]
    assert [len(row) for row in msgpack.unpackb(rows)] == [5, 5]
    del message["attempts"]
    ((user_id, sealed),) = sealed_envelopes(message)
    assert unpack_envelopes(user_id, sealed) == [envelope._replace(attempt=None) for envelope in own]


@pytest.mark.mission_critical("P1")
async def test_events_of_another_process_reach_their_owner_alone(
    cast: Cast, layer: FailingLayer, elsewhere: RedisPubSubChannelLayer, open_socket: OpenSocket
) -> None:
    runs = [
        await call_in_thread(lambda user=user: make_run(make_thread(user))) for user in (cast.alice, cast.bob)
    ]
    socket, outsider = await open_socket(cast.alice), await open_socket(cast.carol)
    await socket.ask(type="subscribe", thread_id=str(runs[0].thread_id))
    await until_whole()
    await from_elsewhere(elsewhere, *[await record(run, number) for run in runs for number in (1, 2)])
    assert [(await socket.receive())["seq"] for _ in range(2)] == [1, 2]
    assert await outsider.hears_nothing()
    assert await socket.hears_nothing()
    await socket.leave()
    await outsider.leave()
    assert layer.groups == {}


async def test_events_of_this_process_arrive_once_though_the_layer_brings_them_too(
    cast: Cast, layer: FailingLayer, open_socket: OpenSocket
) -> None:
    run = await call_in_thread(lambda: make_run(make_thread(cast.alice)))
    socket = await open_socket(cast.alice)
    await socket.ask(type="subscribe", thread_id=str(run.thread_id))
    await until_whole()
    layer.failures = 2
    await happen(run, 1, 2, 3)
    await get_fanout().flush()
    assert layer.sent == 1, "all that waits crosses the layer in one message"
    assert [(await socket.receive())["seq"] for _ in range(3)] == [1, 2, 3]
    assert await socket.hears_nothing()


@pytest.mark.mission_critical("P2")
async def test_what_the_layer_did_not_carry_is_read_from_the_log(
    cast: Cast,
    layer: FailingLayer,
    elsewhere: RedisPubSubChannelLayer,
    open_socket: OpenSocket,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("realtime.clock.SILENCE_S", 0.5)
    monkeypatch.setattr("realtime.clock.TICK_S", 0.05)
    run = await call_in_thread(lambda: make_run(make_thread(cast.alice)))
    socket = await open_socket(cast.alice)
    await socket.ask(type="subscribe", thread_id=str(run.thread_id))
    await until_whole()
    await from_elsewhere(elsewhere, await record(run, 1))
    assert (await socket.receive())["seq"] == 1
    # An answer of the layer that never came, and the last event with it: what is silent is looked up at once.
    await record(run, 2)
    get_fanout().losses += 1
    assert (await socket.receive())["seq"] == 2
    layer.failures = 4
    await happen(run, 3)
    await get_fanout().flush()
    assert "1 frames are left to replay" in caplog.text
    assert (await socket.receive())["seq"] == 3


@pytest.mark.mission_critical("P2")
async def test_a_run_of_which_nothing_was_heard_is_found(
    cast: Cast, layer: FailingLayer, open_socket: OpenSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime.clock.TICK_S", 0.05)
    thread = await call_in_thread(make_thread, cast.alice)
    await call_in_thread(lambda: make_run(thread, status="completed", finished_at=timezone.now()))
    socket, outsider = await open_socket(cast.alice), await open_socket(cast.alice)
    await until_whole()
    await call_in_thread(Run.objects.update, created_at=timezone.now() - timedelta(minutes=1))
    await socket.ask(type="subscribe", thread_id=str(thread.id))
    run = await call_in_thread(make_run, thread)
    for number in (1, 2):
        await record(run, number)
    get_fanout().losses += 1
    frames = [await socket.receive() for _ in range(2)]
    assert [(frame["run_id"], frame["seq"]) for frame in frames] == [(str(run.id), 1), (str(run.id), 2)]
    assert await socket.hears_nothing()
    assert await outsider.hears_nothing()


async def test_a_quick_client_takes_any_number_of_events_that_come_in_one_message(
    cast: Cast, layer: FailingLayer, elsewhere: RedisPubSubChannelLayer, open_socket: OpenSocket
) -> None:
    run = await call_in_thread(lambda: make_run(make_thread(cast.alice)))
    socket = await open_socket(cast.alice)
    await socket.ask(type="subscribe", thread_id=str(run.thread_id))
    await until_whole()
    first = await record(run, 1)
    await from_elsewhere(elsewhere, *[replace(first, seq=number) for number in range(1, 1_001)])
    assert [(await socket.receive())["seq"] for _ in range(1_000)] == list(range(1, 1_001))


@pytest.mark.mission_critical("P4")
async def test_a_socket_that_ends_while_the_layer_is_joined_leaves_no_listener(layer: FailingLayer) -> None:
    # The layer's client swallows a cancellation at some of its steps.
    for steps in range(32):
        fanout = Fanout()
        fanout.add_socket()
        for _ in range(steps):
            await asyncio.sleep(0)
        async with asyncio.timeout(10):
            await fanout.remove_socket()
        await layer.flush()
    assert [task for task in asyncio.all_tasks() if task.get_name().startswith("fanout")] == []
