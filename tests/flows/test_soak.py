"""Events under kills and slow readers: all of them at their owner's sockets, once, and nowhere else."""

import asyncio
import json
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.flows.client import TERMINAL
from tests.flows.soak.people import Person, make_people
from tests.flows.soak.processes import Cluster, cluster
from tests.flows.soak.scenario import Size, soak
from tests.flows.soak.verdict import judge
from tests.servers import database_url

pytestmark = [pytest.mark.e2e, pytest.mark.mission_critical("P1"), pytest.mark.mission_critical("P2")]

OpenOn = Callable[..., Awaitable[ClientConnection]]

SMALL = Size(users=8, sockets=2, threads=2, runs=2, redis_restarts=1, web_kills=1)
BURST = 5_000
MOST_GROWTH = 10 << 20
"""Of the web process, in bytes; the burst is twice that for each of two sockets."""


@pytest.fixture(scope="module")
def running(django_db_setup: None) -> Iterator[Cluster]:
    """Yield two web processes, two workers and their own Redis, on one database."""
    with (
        tempfile.TemporaryDirectory(prefix="netra-soak-") as folder,
        cluster(database_url("netra_soak"), Path(folder)) as started,
    ):
        started.start()
        yield started


@pytest.fixture
async def open_on(running: Cluster) -> AsyncIterator[OpenOn]:
    """Return what opens a person's socket on a web process, its first frame read; all end with the test."""
    async with AsyncExitStack() as stack:

        async def opened(person: Person, *, web: int = 0, **options: Any) -> ClientConnection:
            connecting = _connected(running.web[web].url, person, **options)
            return await stack.enter_async_context(connecting)

        yield opened


@asynccontextmanager
async def _connected(url: str, person: Person, **options: Any) -> AsyncIterator[ClientConnection]:
    address = url.replace("http://", "ws://") + "/ws/chat/"
    subprotocols: Any = ["netra.v1", f"bearer.{person.token}"]
    async with connect(
        address, subprotocols=subprotocols, max_size=2**24, close_timeout=1, **options
    ) as client:
        assert json.loads(await client.recv())["type"] == "connection_established"
        yield client


async def ask(client: ClientConnection, kind: str, **fields: Any) -> dict[str, Any]:
    await client.send(json.dumps({"type": kind, "id": "1", **fields}))
    while True:
        frame: dict[str, Any] = json.loads(await asyncio.wait_for(client.recv(), 30))
        if frame.get("id") == "1":
            return frame


async def events_until(client: ClientConnection, last: int | None = None) -> list[dict[str, Any]]:
    """Return the run events that come, up to the one numbered `last` or the run's end."""
    events: list[dict[str, Any]] = []
    while not events or not (events[-1]["seq"] == last or events[-1]["type"] in TERMINAL):
        frame = json.loads(await asyncio.wait_for(client.recv(), 30))
        if "seq" in frame:
            events.append(frame)
    return events


async def test_a_socket_that_never_heard_of_a_run_has_it_all_after_the_layer_was_down(
    running: Cluster, open_on: OpenOn
) -> None:
    (person,) = await asyncio.to_thread(make_people, running, users=1, threads=1)
    asking, watching = await open_on(person, web=0), await open_on(person, web=1)
    (thread,) = person.threads
    assert (await ask(watching, "subscribe", thread_id=thread))["type"] == "ack"
    running.redis.kill()
    try:
        ack = await ask(asking, "send_message", thread_id=thread, text="Hello")
        own = await events_until(asking)
    finally:
        await asyncio.to_thread(running.redis.start)
    events = await events_until(watching)
    assert {event["run_id"] for event in events} == {ack["run_id"]}
    assert [event["seq"] for event in events] == [event["seq"] for event in own]


async def test_a_slow_reader_is_let_go_and_misses_nothing(running: Cluster, open_on: OpenOn) -> None:
    owner, other = await asyncio.to_thread(make_people, running, users=2, threads=1)
    (thread,) = owner.threads
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    narrow.connect((urlsplit(running.web[0].url).hostname, urlsplit(running.web[0].url).port))
    slow = await open_on(owner, sock=narrow, max_queue=1, ping_interval=None, compression=None)
    quick, stranger = await open_on(owner), await open_on(other)
    for client in (slow, quick):
        assert (await ask(client, "subscribe", thread_id=thread))["type"] == "ack"
    server = psutil.Process(running.web[0].process.pid)
    before = server.memory_info().rss
    writing = asyncio.create_task(
        asyncio.to_thread(running.run_module, "tests.flows.soak.burst", owner.user_id, thread, str(BURST))
    )
    heard = await events_until(quick, BURST)
    run = await writing
    assert [event["seq"] for event in heard] == list(range(1, BURST + 1))
    assert (await ask(stranger, "ping"))["type"] == "pong"
    assert server.memory_info().rss - before < MOST_GROWTH
    late, code = await _until_closed(slow)
    assert code == 4408
    assert late == list(range(1, len(late) + 1))
    again = await open_on(owner)
    assert (await ask(again, "resume", cursors={run: len(late)}))["type"] == "ack"
    rest = await events_until(again, BURST)
    assert late + [event["seq"] for event in rest] == list(range(1, BURST + 1))


async def _until_closed(client: ClientConnection) -> tuple[list[int], int | None]:
    """Return the numbers that still come, and the code of the close."""
    numbers = []
    try:
        while True:
            frame = json.loads(await asyncio.wait_for(client.recv(), 30))
            if "seq" in frame:
                numbers.append(frame["seq"])
    except ConnectionClosed as closed:
        return numbers, closed.rcvd.code if closed.rcvd else None


def test_no_event_is_lost_doubled_or_led_astray_while_redis_and_a_web_process_are_killed(
    running: Cluster,
) -> None:
    course = asyncio.run(soak(running, SMALL))
    verdict = judge(course, running.database)
    assert verdict.wrong == []
    assert verdict.runs == SMALL.users * SMALL.runs
    assert verdict.reconnects > 0
    words = [person.canary for person in course.people]
    assert not [word for process in running.all for word in words if word in process.output]
