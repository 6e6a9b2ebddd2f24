"""The event log: numbered without a gap, committed before it is seen, fenced against earlier attempts."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import close_old_connections, connection

from agents.event_log import FencedError, register_event_sink, unregister_event_sink
from agents.models import RunEvent
from contexts.database import call_in_thread
from tests.agents.running import ask, begin, begin_all, execute, log_of, stored_types
from tests.factories import make_cast

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def alice():
    return make_cast().alice


def in_a_thread(look):
    close_old_connections()
    try:
        return look()
    finally:
        connection.close()


async def think(log, text):
    return await log.append("agent_thinking", agent_name="triage", data={"step": 1, "text": text})


@pytest.mark.mission_critical("P2")
async def test_events_are_committed_before_anyone_sees_them(alice, recorder):
    seen = []

    class Checker:
        def deliver_events(self, events, context):
            with ThreadPoolExecutor(1) as thread:
                for event in events:
                    stored = RunEvent.objects.filter(run_id=event.run_id, seq=event.seq)
                    seen.append(thread.submit(in_a_thread, stored.exists).result())

        def deliver_delta(self, delta, context): ...

        async def flush(self): ...

    checker = Checker()
    register_event_sink(checker)
    try:
        await execute(await call_in_thread(ask, alice, "hello"))
    finally:
        unregister_event_sink(checker)
    assert len(seen) > 5
    assert all(seen)


@pytest.mark.mission_critical("P3")
async def test_an_attempt_that_was_overtaken_can_write_nothing(alice, recorder):
    run_id = await call_in_thread(ask, alice)
    early = await call_in_thread(begin, run_id)
    late = await call_in_thread(begin, run_id)
    with pytest.raises(FencedError):
        await think(log_of(early), "Still me?")
    await think(log_of(late), "Me.")
    assert await call_in_thread(stored_types, run_id) == ["run_queued", "agent_thinking"]


async def test_one_bad_event_does_not_take_the_others_with_it(alice, recorder):
    _, logs = await begin_all(alice, 3)
    texts = ["fine", object(), "fine too"]
    results = await asyncio.gather(*map(think, logs, texts), return_exceptions=True)
    assert [isinstance(result, Exception) for result in results] == [False, True, False]


@pytest.mark.mission_critical("P2")
async def test_what_could_not_be_appended_leaves_no_gap(alice, recorder):
    (run_id,), (log,) = await begin_all(alice, 1)
    with pytest.raises(TypeError):
        await think(log, object())
    cancelled = asyncio.create_task(think(log, "Cancelled while it is written."))
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.gather(cancelled, return_exceptions=True)
    parallel = await asyncio.gather(*(think(log, f"Thought {number}") for number in range(5)))
    await log.settle()
    assert len(await call_in_thread(stored_types, run_id)) == parallel[-1].seq
    assert [event.seq for event in recorder.events if event.run_id == run_id][1:] == list(
        range(2, parallel[-1].seq + 1)
    )


async def test_characters_that_the_database_refuses_are_replaced(alice, recorder):
    (_,), (log,) = await begin_all(alice, 1)
    event = await think(log, "a NUL \0 and half a pair \ud83d")
    assert event.data["text"] == "a NUL \ufffd and half a pair \ufffd"
