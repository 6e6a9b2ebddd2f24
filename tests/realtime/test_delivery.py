"""Who gets which frame: the owner's watching sockets, each event once and in order, nobody else."""

from typing import Any
from uuid import uuid4

import pytest

from agents.events import Delta
from agents.models import Run, Thread
from contexts.database import call_in_thread
from contexts.models import Tenant, User
from realtime.envelopes import Envelope
from realtime.fanout import get_fanout
from tests.factories import Cast, make_run, make_thread
from tests.realtime.happenings import happen, publish, record
from tests.realtime.sockets import OpenSocket, Socket


async def begin_run(user: User) -> Run:
    return await call_in_thread(lambda: make_run(make_thread(user)))


def piece(run: Run, text: str, *, attempt: int = 1) -> Envelope:
    delta = Delta(
        run_id=run.id,
        thread_id=run.thread_id,
        tenant_id=run.tenant_id,
        user_id=run.user_id,
        attempt=attempt,
        offset=0,
        text=text,
    )
    return Envelope.of_delta(delta)


async def numbers(socket: Socket, count: int) -> list[int]:
    frames: list[dict[str, Any]] = [await socket.receive() for _ in range(count)]
    return [frame["seq"] for frame in frames]


@pytest.mark.mission_critical("P1")
async def test_events_reach_the_watching_sockets_of_their_owner_and_no_other(
    cast: Cast, open_socket: OpenSocket
) -> None:
    run = await begin_run(cast.alice)
    watching = await open_socket(cast.alice)
    also_watching = await open_socket(cast.alice)
    others = [await open_socket(user) for user in (cast.alice, cast.bob, cast.carol)]
    for socket in (watching, also_watching):
        assert (await socket.ask(type="subscribe", thread_id=str(run.thread_id)))["type"] == "ack"
    await happen(run, 1, 2)
    get_fanout().send(run.user_id, [piece(run, "canary")])
    for socket in (watching, also_watching):
        assert await numbers(socket, 2) == [1, 2]
        assert (await socket.receive())["text"] == "canary"
    for socket in others:
        assert await socket.hears_nothing()


@pytest.mark.mission_critical("P3")
async def test_what_a_worker_still_writes_after_another_took_its_run_over_reaches_no_socket(
    cast: Cast, open_socket: OpenSocket
) -> None:
    run = await begin_run(cast.alice)
    watching, resuming, coming = [await open_socket(cast.alice) for _ in range(3)]
    await watching.ask(type="subscribe", thread_id=str(run.thread_id))
    await happen(run, 1)
    get_fanout().send(run.user_id, [piece(run, "first")])
    await call_in_thread(Run.objects.filter(id=run.id).update, attempt=2, status="running")
    resumed = await record(run, 2, "run_resumed")
    await resuming.ask(type="resume", cursors={str(run.id): 2})
    await coming.ask(type="subscribe", thread_id=str(run.thread_id))
    await publish(resumed)
    get_fanout().send(run.user_id, [piece(run, "woken"), piece(run, "second", attempt=2)])
    assert (await watching.receive())["seq"] == 1
    assert (await watching.receive())["text"] == "first"
    assert (await watching.receive())["type"] == "run_resumed"
    for socket in (watching, resuming, coming):
        assert (await socket.receive())["text"] == "second"
        assert await socket.hears_nothing()


@pytest.mark.mission_critical("P1")
async def test_an_outsider_gets_not_found_for_every_frame_with_an_id(
    cast: Cast, open_socket: OpenSocket
) -> None:
    run = await begin_run(cast.alice)
    thread_id, run_id = str(run.thread_id), str(run.id)
    for user in (cast.bob, cast.carol):
        socket = await open_socket(user)
        for frame in (
            {"type": "subscribe", "thread_id": thread_id},
            {"type": "unsubscribe", "thread_id": thread_id},
            {"type": "resume", "cursors": {run_id: 0}},
            {"type": "cancel_run", "run_id": run_id},
            {"type": "send_message", "text": "Mine?", "thread_id": thread_id},
        ):
            answer = await socket.ask(**frame)
            assert (answer["type"], answer["code"]) == ("error", "not_found"), frame
        await happen(run, 1 if user == cast.bob else 2)
        assert await socket.hears_nothing()
    assert await call_in_thread(Run.objects.count) == 1
    assert await call_in_thread(lambda: Run.objects.get().status) == "queued"


async def test_another_tenants_dataset_is_not_found(cast: Cast, open_socket: OpenSocket) -> None:
    socket = await open_socket(cast.carol)
    answer = await socket.ask(type="send_message", text="Hello", dataset_ids=[str(uuid4())])
    assert answer["code"] == "not_found"
    assert await call_in_thread(Thread.objects.count) == 0


@pytest.mark.mission_critical("P2")
async def test_events_that_were_lost_repeated_or_late_arrive_once_and_in_order(
    cast: Cast, open_socket: OpenSocket
) -> None:
    run = await begin_run(cast.alice)
    socket = await open_socket(cast.alice)
    await socket.ask(type="subscribe", thread_id=str(run.thread_id))
    events = [await record(run, number) for number in range(1, 9)]
    await publish(events[0])
    await publish(events[4], events[5])  # 2 to 4 were lost
    await publish(events[2])  # and one of them is late
    await publish(events[5])  # and another comes again
    await publish(events[7])
    assert await numbers(socket, 8) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert await socket.hears_nothing()


@pytest.mark.mission_critical("P2")
async def test_a_lost_last_event_is_found_in_the_log(
    cast: Cast, open_socket: OpenSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime.clock.SILENCE_S", 0.05)
    monkeypatch.setattr("realtime.clock.TICK_S", 0.05)
    run = await begin_run(cast.alice)
    socket = await open_socket(cast.alice)
    await socket.ask(type="subscribe", thread_id=str(run.thread_id))
    await happen(run, 1)
    await record(run, 2, "run_cancelled")
    assert [frame["type"] for frame in await socket.receive_until("run_cancelled")] == [
        "agent_thinking",
        "run_cancelled",
    ]


@pytest.mark.mission_critical("P2")
async def test_a_client_resumes_without_gap_or_repeat(cast: Cast, open_socket: OpenSocket) -> None:
    run = await begin_run(cast.alice)
    for number in range(1, 6):
        await record(run, number)
    socket = await open_socket(cast.alice)
    assert (await socket.ask(type="resume", cursors={str(run.id): 2}))["type"] == "ack"
    assert await numbers(socket, 3) == [3, 4, 5]
    await happen(run, 6)
    assert await numbers(socket, 1) == [6]
    await socket.ask(type="resume", cursors={str(run.id): 4})
    assert await socket.hears_nothing()


async def test_resuming_after_subscribing_adds_only_what_came_before(
    cast: Cast, open_socket: OpenSocket
) -> None:
    run = await begin_run(cast.alice)
    for number in range(1, 4):
        await record(run, number)
    socket = await open_socket(cast.alice)
    await socket.ask(type="subscribe", thread_id=str(run.thread_id))
    await happen(run, 4)
    assert await numbers(socket, 1) == [4]
    await socket.ask(type="resume", cursors={str(run.id): 1})
    assert await numbers(socket, 2) == [2, 3]
    await socket.ask(type="resume", cursors={str(run.id): 0})
    assert await numbers(socket, 1) == [1]
    await happen(run, 5)
    assert await numbers(socket, 1) == [5]


@pytest.mark.mission_critical("P2")
async def test_subscribing_again_skips_nothing_that_is_on_its_way(
    cast: Cast, open_socket: OpenSocket
) -> None:
    run = await begin_run(cast.alice)
    socket = await open_socket(cast.alice)
    await socket.ask(type="subscribe", thread_id=str(run.thread_id))
    await happen(run, 1)
    assert await numbers(socket, 1) == [1]
    late = await record(run, 2)
    await socket.ask(type="subscribe", thread_id=str(run.thread_id))
    await publish(late)
    assert await numbers(socket, 1) == [2]


async def test_more_events_than_the_queue_holds_are_replayed(cast: Cast, open_socket: OpenSocket) -> None:
    run = await begin_run(cast.alice)
    for number in range(1, 301):
        await record(run, number)
    socket = await open_socket(cast.alice)
    await socket.ask(type="resume", cursors={str(run.id): 0})
    assert await numbers(socket, 300) == list(range(1, 301))


async def test_a_cursor_beyond_the_last_event_is_refused(cast: Cast, open_socket: OpenSocket) -> None:
    run = await begin_run(cast.alice)
    await record(run, 1)
    socket = await open_socket(cast.alice)
    answer = await socket.ask(type="resume", cursors={str(run.id): 2})
    assert (answer["type"], answer["code"]) == ("error", "invalid_request")


async def test_an_unsubscribed_socket_hears_nothing_more(cast: Cast, open_socket: OpenSocket) -> None:
    run = await begin_run(cast.alice)
    socket = await open_socket(cast.alice)
    await socket.ask(type="subscribe", thread_id=str(run.thread_id))
    await socket.ask(type="unsubscribe", thread_id=str(run.thread_id))
    await happen(run, 1)
    assert await socket.hears_nothing()


async def test_a_sent_message_is_acknowledged_before_its_events(cast: Cast, open_socket: OpenSocket) -> None:
    socket = await open_socket(cast.alice)
    answer = await socket.ask(type="send_message", text="Where does it go?", idempotency_key="k")
    assert answer["type"] == "ack"
    queued = await socket.receive()
    assert (queued["type"], queued["seq"], queued["run_id"]) == ("run_queued", 1, answer["run_id"])
    assert await socket.ask(type="send_message", text="Where does it go?", idempotency_key="k") == answer
    assert await socket.hears_nothing()
    elsewhere = await open_socket(cast.alice)
    assert await elsewhere.ask(type="send_message", text="Where does it go?", idempotency_key="k") == answer
    assert (await elsewhere.receive())["seq"] == 1


async def test_a_waiting_run_is_cancelled(cast: Cast, open_socket: OpenSocket) -> None:
    socket = await open_socket(cast.alice)
    sent = await socket.ask(type="send_message", text="Where does it go?")
    assert (await socket.receive())["type"] == "run_queued"
    assert (await socket.ask(type="cancel_run", run_id=sent["run_id"]))["type"] == "ack"
    assert (await socket.receive())["type"] == "run_cancelled"
    quotas = await socket.receive_until("quota_updated")
    assert quotas[-1]["user_id"] == str(cast.alice.id)


async def test_a_viewer_may_not_ask(cast: Cast, open_socket: OpenSocket) -> None:
    def demote(tenant: Tenant) -> None:
        cast.bob.memberships.update(role="viewer")

    await call_in_thread(demote, cast.acme)
    socket = await open_socket(cast.bob)
    assert (await socket.ask(type="send_message", text="Hello"))["code"] == "permission_denied"


async def test_a_used_up_limit_says_which_and_until_when(cast: Cast, open_socket: OpenSocket) -> None:
    socket = await open_socket(cast.carol)
    for number in range(10):
        await socket.send(type="send_message", id=number, text="Hello")
        await socket.receive_until("ack")
    await socket.send(type="send_message", id="last", text="Hello")
    refusal = (await socket.receive_until("error"))[-1]
    assert (refusal["code"], refusal["resource"], refusal["limit"]) == ("quota_exceeded", "agent_runs", 10)
    assert refusal["resets_at"].endswith("Z")


async def test_a_client_that_takes_nothing_is_closed_with_4408_and_resumes(
    cast: Cast, open_socket: OpenSocket
) -> None:
    run = await begin_run(cast.alice)
    slow = await open_socket(cast.alice)
    other = await open_socket(cast.alice)
    for socket in (slow, other):
        await socket.ask(type="subscribe", thread_id=str(run.thread_id))
    # what the client does not take fills its socket, here four frames long
    slow.communicator.output_queue._maxsize = 4  # type: ignore[attr-defined]
    for first in range(1, 301, 20):
        await happen(run, *range(first, first + 20))
        assert await numbers(other, 20) == list(range(first, first + 20))
    received = [await slow.receive() for _ in range(4)]
    assert [frame["seq"] for frame in received] == [1, 2, 3, 4]
    assert await slow.close_code() == 4408
    again = await open_socket(cast.alice)
    await again.ask(type="resume", cursors={str(run.id): 4})
    assert await numbers(again, 296) == list(range(5, 301))
