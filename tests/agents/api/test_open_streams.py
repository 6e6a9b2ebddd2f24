"""Open streams of events: more of them than database connections, and not too many of one user."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.core.asgi import get_asgi_application
from django.db import connection

from agents.api.event_stream import HEAD, MAX_STREAMS_OF_A_USER, stream_events
from agents.event_sinks import publish_event
from agents.events import Event
from agents.models import Run, RunStatus
from contexts.tokens import issue_tokens, read_access_token
from tests.factories import make_cast, make_event, make_run, make_thread

pytestmark = pytest.mark.django_db(transaction=True)

CONNECTIONS = 4
STREAMS = 3 * CONNECTIONS


@pytest.fixture
def small_pool(transactional_db: None) -> Iterator[None]:
    """Bound Django's pool to a few connections, for the time of a test."""
    connection.close()
    pool = connection.pool
    before = (pool.min_size, pool.max_size)
    pool.resize(1, CONNECTIONS)
    yield
    pool.resize(*before)


@asynccontextmanager
async def requested(path: str, access: str, accept: str) -> AsyncIterator[ApplicationCommunicator]:
    """Yield a request to the server that has sent everything but its body, disconnected in the end."""
    headers = {"host": "testserver", "accept": accept, "authorization": f"Bearer {access}"}
    communicator = ApplicationCommunicator(
        get_asgi_application(),
        {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "path": path,
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        },
    )
    await communicator.send_input({"type": "http.request", "body": b""})
    yield communicator
    await communicator.send_input({"type": "http.disconnect"})
    await communicator.wait(30)


async def answer_of(communicator: ApplicationCommunicator) -> tuple[int, bytes]:
    """Return the status and the first part of the answer."""
    status = int((await communicator.receive_output(30))["status"])
    return status, bytes((await communicator.receive_output(30)).get("body", b""))


def _prepare() -> tuple[Run, str]:
    cast = make_cast()
    run = make_run(make_thread(cast.alice), status=RunStatus.RUNNING)
    access = issue_tokens(cast.alice).access
    connection.close()
    return run, access


def _complete(run: Run) -> None:
    make_event(run, 1, "agent_completed")
    connection.close()


async def test_more_open_streams_than_connections_keep_nobody_waiting(small_pool: None) -> None:
    run, access = await sync_to_async(_prepare)()
    address = f"/api/v1/runs/{run.id}/events"
    streams = []
    async with AsyncExitStack() as stack:
        for _ in range(STREAMS):
            stream = await stack.enter_async_context(requested(address, access, "text/event-stream"))
            streams.append(stream)
            assert await answer_of(stream) == (200, HEAD)
        async with requested("/api/v1/me", access, "application/json") as other:
            status, account = await answer_of(other)
            assert (status, json.loads(account)["username"]) == (200, "alice")
        # None of them made room for it by giving up.
        await sync_to_async(_complete)(run)
        for stream in streams:
            assert b"event: agent_completed" in (await stream.receive_output(30))["body"]


async def test_a_user_has_a_bounded_number_of_streams_open(transactional_db: None) -> None:
    run, access = await sync_to_async(_prepare)()
    address = f"/api/v1/runs/{run.id}/events"
    async with AsyncExitStack() as stack:
        for _ in range(MAX_STREAMS_OF_A_USER):
            stream = await stack.enter_async_context(requested(address, access, "text/event-stream"))
            assert await answer_of(stream) == (200, HEAD)
        async with requested(address, access, "text/event-stream") as refused:
            status, problem = await answer_of(refused)
            assert (status, json.loads(problem)["code"]) == (429, "rate_limited")
        # One that passed the check together with others is told in its stream.
        told = b"".join([part async for part in stream_events(read_access_token(access), run.id, after=0)])
        assert b"event: error" in told
        assert b"rate_limited" in told
    # All were given up by their readers: their places are free again.
    async with asyncio.timeout(30):
        while True:
            async with requested(address, access, "text/event-stream") as again:
                if await answer_of(again) == (200, HEAD):
                    break


def _happen(run: Run, seq: int, kind: str) -> Event:
    row = make_event(run, seq, kind)
    connection.close()
    return Event(
        run_id=run.id,
        thread_id=run.thread_id,
        tenant_id=run.tenant_id,
        user_id=run.user_id,
        seq=seq,
        type=kind,
        agent_name=row.agent_name,
        created_at=row.created_at,
        data=row.data,
    )


async def test_a_stream_looks_at_once_when_this_process_publishes_an_event(transactional_db: None) -> None:
    run, access = await sync_to_async(_prepare)()
    stream = stream_events(read_access_token(access), run.id, after=0, poll_seconds=3_600)
    async with asyncio.timeout(30):
        assert (await anext(stream)).startswith(HEAD)
        for seq in (1, 2):
            event = await sync_to_async(_happen)(run, seq, "agent_thinking")
            next_message = asyncio.ensure_future(anext(stream))
            await publish_event(event)
            assert f"id: {seq}\n".encode() in await next_message
        event = await sync_to_async(_happen)(run, 3, "agent_completed")
        rest = asyncio.ensure_future(_rest_of(stream))
        # As services do that publish from a thread of their own.
        await sync_to_async(async_to_sync(publish_event), thread_sensitive=False)(event)
        assert b"id: 3\n" in await rest


async def _rest_of(stream: AsyncIterator[bytes]) -> bytes:
    return b"".join([part async for part in stream])
