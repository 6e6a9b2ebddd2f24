"""Whatever the layer loses, repeats and mixes up: a socket sends each event of its runs once, in order."""

import asyncio
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.events import Event
from contexts.manager import UserContextManager
from contexts.sign_ins import SignIn, SignInKind, SignInProof
from realtime.connection import Connection
from realtime.envelopes import Envelope

RUNS = 2
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("commit"), st.integers(0, RUNS - 1), st.integers(1, 3) | st.integers(1, 90)),
        # how far back from the end of the log, and how many: again, late, or with some left out
        st.tuples(
            st.just("publish"),
            st.integers(0, RUNS - 1),
            st.lists(st.integers(0, 4) | st.integers(0, 30), max_size=8),
        ),
        st.tuples(st.just("hold"), st.just(0), st.just(0)),
        st.tuples(st.just("release"), st.just(0), st.just(0)),
        st.tuples(st.just("look"), st.integers(0, RUNS - 1), st.just(0)),
        st.tuples(st.just("pause"), st.just(0), st.integers(0, 3)),
        st.tuples(st.just("stall"), st.just(0), st.just(0)),
    ),
    min_size=5,
    max_size=40,
)


@dataclass
class World:
    """A log of two runs, a socket that watches both, and its client."""

    user_id: UUID = field(default_factory=uuid4)
    thread_id: UUID = field(default_factory=uuid4)
    log: dict[UUID, list[Event]] = field(default_factory=lambda: {uuid4(): [] for _ in range(RUNS)})
    received: list[dict[str, Any]] = field(default_factory=list)
    takes: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, text: str) -> None:
        await self.takes.wait()
        self.received.append(json.loads(text))

    def commit(self, run_id: UUID, count: int) -> None:
        for _ in range(count):
            self.log[run_id].append(
                Event(
                    run_id=run_id,
                    thread_id=self.thread_id,
                    tenant_id=self.user_id,
                    user_id=self.user_id,
                    seq=len(self.log[run_id]) + 1,
                    type="agent_thinking",
                    agent_name="triage",
                    created_at=datetime.now(UTC),
                    data={},
                )
            )

    async def read(self, _: Any, user_id: UUID, run_id: UUID, *, after: int) -> list[Event]:
        assert user_id == self.user_id
        await asyncio.sleep(0)
        events = self.log[run_id][after:]
        await asyncio.sleep(0)
        return events


async def live(world: World, steps: list[tuple[str, int, Any]]) -> None:
    world.takes.set()
    context = UserContextManager().create_context(world.user_id)
    proof = SignInProof(
        user_id=world.user_id, kind=SignInKind.TOKEN, reference="", password_mark="nobody looks"
    )
    sign_in = SignIn(proof=proof, expires_at=datetime.now(UTC) + timedelta(hours=1))
    connection = Connection(context, sign_in=sign_in, send=world.send)
    connection.outbox.start()
    run_ids = list(world.log)
    for run_id in run_ids:
        connection.feed.begin(run_id, thread_id=world.thread_id, after=0, now=0.0)
    holds = []
    for kind, number, argument in steps:
        run_id = run_ids[number]
        if kind == "commit":
            world.commit(run_id, argument)
        elif kind == "publish":
            events = world.log[run_id]
            places = [len(events) - 1 - back for back in argument if back < len(events)]
            connection.deliver([Envelope.of_event(events[place]) for place in places])
        elif kind == "hold":
            hold = connection.hold()
            await hold.__aenter__()
            holds.append(hold)
        elif kind == "release" and holds:
            await holds.pop().__aexit__(None, None, None)
        elif kind == "look":
            connection.read_log(run_id)
        elif kind == "pause":
            for _ in range(argument):
                await asyncio.sleep(0)
        elif kind == "stall":
            world.takes.clear()
            asyncio.get_running_loop().call_soon(asyncio.get_running_loop().call_soon, world.takes.set)
    while holds:
        await holds.pop().__aexit__(None, None, None)
    for run_id in run_ids:
        connection.read_log(run_id)
    world.takes.set()
    while connection.is_reading or len(connection.outbox):  # noqa: ASYNC110
        await asyncio.sleep(0)
    await connection.finish()
    assert not connection.ended.done(), connection.ended


@pytest.mark.mission_critical("P2")
@settings(max_examples=200, deadline=None)
@given(steps=STEPS)
def test_each_event_is_sent_once_and_in_order(steps: list[tuple[str, int, Any]]) -> None:
    async def run() -> None:
        world = World()
        with mock.patch("realtime.connection.call_in_thread", world.read):
            await live(world, steps)
        for run_id, events in world.log.items():
            numbers = [frame["seq"] for frame in world.received if frame["run_id"] == str(run_id)]
            assert numbers == [event.seq for event in events]

    asyncio.run(run())
