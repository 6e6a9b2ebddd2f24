"""A socket's queue: in order, bounded, pieces of answers joined when it is full."""

import asyncio
import json
from uuid import UUID, uuid4

import pytest

from realtime.envelopes import Envelope
from realtime.outbox import Outbox, OutboxFullError

USER, RUN = uuid4(), uuid4()


def delta(offset: int, text: str, run_id: UUID = RUN) -> Envelope:
    frame = {"type": "message_delta", "run_id": str(run_id), "offset": offset, "text": text}
    return Envelope(user_id=USER, type="message_delta", text=json.dumps(frame), run_id=run_id)


def event(seq: int) -> Envelope:
    return Envelope(user_id=USER, type="agent_thinking", text=str(seq), run_id=RUN, seq=seq)


class SlowClient:
    """Takes a frame whenever it is allowed to."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.allowed = asyncio.Semaphore(0)

    async def send(self, text: str) -> None:
        await self.allowed.acquire()
        self.taken.append(text)

    def allow(self, count: int) -> None:
        for _ in range(count):
            self.allowed.release()


async def everything_in(outbox: Outbox, client: SlowClient) -> list[str]:
    client.allow(1_000)
    outbox.start()
    await outbox.drain()
    await outbox.stop()
    return client.taken


async def test_frames_are_sent_in_order() -> None:
    client = SlowClient()
    outbox = Outbox(client.send)
    for seq in range(100):
        outbox.put(event(seq))
    outbox.put("last")
    assert await everything_in(outbox, client) == [*map(str, range(100)), "last"]


async def test_a_numbered_event_that_does_not_fit_is_an_error() -> None:
    outbox = Outbox(SlowClient().send, capacity=2)
    outbox.put(event(1))
    outbox.put(event(2))
    with pytest.raises(OutboxFullError):
        outbox.put(event(3))


async def test_pieces_of_an_answer_are_joined_when_the_queue_is_full() -> None:
    client = SlowClient()
    outbox = Outbox(client.send, capacity=4)
    for frame in (event(1), delta(0, "Hä"), delta(2, "llo"), delta(3, "lö")):
        outbox.put(frame)
    outbox.put(event(2))
    taken = await everything_in(outbox, client)
    assert (taken[0], taken[2]) == ("1", "2")
    assert (json.loads(taken[1])["offset"], json.loads(taken[1])["text"]) == (0, "Hällö")


async def test_a_piece_that_begins_anew_replaces_the_one_before() -> None:
    client = SlowClient()
    outbox = Outbox(client.send, capacity=2)
    outbox.put(delta(10, "old"))
    outbox.put(delta(0, "new"))
    outbox.put(event(1))
    taken = await everything_in(outbox, client)
    assert (json.loads(taken[0])["offset"], json.loads(taken[0])["text"]) == (0, "new")


async def test_pieces_of_two_answers_are_not_joined() -> None:
    outbox = Outbox(SlowClient().send, capacity=2)
    outbox.put(delta(0, "a"))
    outbox.put(delta(1, "b", run_id=uuid4()))
    with pytest.raises(OutboxFullError):
        outbox.put(event(1))


async def test_a_piece_that_does_not_fit_is_dropped() -> None:
    client = SlowClient()
    outbox = Outbox(client.send, capacity=1)
    outbox.put(event(1))
    outbox.put(delta(0, "a"))
    assert await everything_in(outbox, client) == ["1"]


async def test_a_replay_waits_for_room_and_gives_up_on_a_client_that_takes_nothing() -> None:
    client = SlowClient()
    outbox = Outbox(client.send, capacity=1)
    outbox.start()
    await outbox.put_when_room(event(1))
    client.allow(1)
    await outbox.put_when_room(event(2))
    await outbox.put_when_room(event(3))
    with pytest.raises(OutboxFullError):
        await outbox.put_when_room(event(4), patience_s=0.01)
    await outbox.stop()
    assert client.taken == ["1"]


async def test_a_client_that_is_gone_is_no_error() -> None:
    async def send(text: str) -> None:
        raise ConnectionResetError

    outbox = Outbox(send)
    outbox.start()
    outbox.put("hello")
    await outbox.drain()
    await outbox.stop()
