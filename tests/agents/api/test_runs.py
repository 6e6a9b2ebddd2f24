import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async
from django.db import connections
from django.test import AsyncClient

from agents.api.event_stream import HEAD, stream_events
from agents.models import Run, RunStatus
from contexts.manager import get_context_manager
from contexts.models import AuditEntry, User
from contexts.tokens import end_sign_in, issue_tokens
from tests.clients import assert_problem, client_of, sign_in_of
from tests.factories import Cast, make_cast, make_event, make_run, make_thread

RUNS = "/api/v1/runs"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def _run(user: User, **fields: Any) -> Run:
    return make_run(make_thread(user), **fields)


def test_a_run_tells_where_it_stands(cast: Cast) -> None:
    run = _run(
        cast.alice,
        status=RunStatus.FAILED,
        model="offline",
        attempt=2,
        input_tokens=12,
        output_tokens=3,
        cost_usd=Decimal("0.000125"),
        error_code="timeout",
        error_message="Too slow.",
        started_at=NOW,
        finished_at=NOW,
    )
    shown = client_of(cast.alice).get(f"{RUNS}/{run.id}").json()
    assert shown.pop("created_at").endswith("Z")
    assert shown == {
        "id": str(run.id),
        "thread_id": str(run.thread_id),
        "status": "failed",
        "agent": "",
        "model": "offline",
        "attempt": 2,
        "dataset_ids": [],
        "position": None,
        "waiting_for": None,
        "usage": {"input_tokens": 12, "output_tokens": 3, "cost_usd": "0.000125"},
        "error": {"code": "timeout", "message": "Too slow."},
        "started_at": "2026-01-02T03:04:05Z",
        "finished_at": "2026-01-02T03:04:05Z",
    }


def test_a_run_without_a_failure_has_no_error(cast: Cast) -> None:
    assert client_of(cast.alice).get(f"{RUNS}/{_run(cast.alice).id}").json()["error"] is None


@pytest.mark.parametrize("who", ["bob", "carol"])
@pytest.mark.parametrize("part", ["", "/events", "/audit", "/cancel"])
def test_someone_elses_run_does_not_exist(cast: Cast, who: str, part: str) -> None:
    run = _run(cast.alice)
    client = client_of(getattr(cast, who))
    call = client.post if part == "/cancel" else client.get
    assert assert_problem(call(f"{RUNS}/{run.id}{part}"), 404, "not_found") == assert_problem(
        call(f"{RUNS}/{uuid4()}{part}"), 404, "not_found"
    )
    run.refresh_from_db()
    assert run.cancel_requested_at is None


@pytest.mark.parametrize("who", ["bob", "carol"])
def test_someone_elses_events_do_not_stream(cast: Cast, who: str) -> None:
    run = _run(cast.alice)
    response = client_of(getattr(cast, who)).get(
        f"{RUNS}/{run.id}/events", headers={"Accept": "text/event-stream"}
    )
    assert_problem(response, 404, "not_found")


def test_a_run_is_cancelled_once(cast: Cast) -> None:
    client, thread = client_of(cast.alice), make_thread(cast.alice)
    started = client.post(f"/api/v1/threads/{thread.id}/runs", {"text": "Why?"}, format="json").json()
    address = f"{RUNS}/{started['run_id']}"
    assert client.post(f"{address}/cancel").status_code == 202
    assert client.get(address).json()["status"] == "cancelled"
    assert client.get(f"{address}/events").json()["events"][-1]["type"] == "run_cancelled"
    assert_problem(client.post(f"{address}/cancel"), 409, "conflict")


def test_events_go_on_after_a_number(cast: Cast) -> None:
    run = _run(cast.alice)
    for seq in (1, 2, 3):
        make_event(run, seq, "agent_thinking", data={"step": seq})
    address = f"{RUNS}/{run.id}/events"
    events = client_of(cast.alice).get(f"{address}?after=1").json()["events"]
    assert [event["seq"] for event in events] == [2, 3]
    assert set(events[0]) == {
        "type",
        "seq",
        "run_id",
        "thread_id",
        "user_id",
        "agent_name",
        "timestamp",
        "data",
    }
    assert client_of(cast.alice).get(f"{address}?after=3").json() == {"events": []}


@pytest.mark.parametrize("after", ["x", "-1", "1.5", "", "9" * 30, "2147483648", "٣"])
def test_a_position_that_is_no_number_is_refused(cast: Cast, after: str) -> None:
    response = client_of(cast.alice).get(f"{RUNS}/{_run(cast.alice).id}/events", {"after": after})
    assert_problem(response, 400, "invalid_request")


def test_the_owner_reads_the_runs_audit(cast: Cast) -> None:
    run = _run(cast.alice)
    AuditEntry.objects.create(tenant=cast.acme, user=cast.alice, action="agent_completed", run_id=run.id)
    AuditEntry.objects.create(
        tenant=cast.acme, user=cast.alice, action="run_started", details={"run": str(run.id)}
    )
    AuditEntry.objects.create(tenant=cast.acme, user=cast.alice, action="thread_deleted")
    entries = client_of(cast.alice).get(f"{RUNS}/{run.id}/audit").json()["results"]
    assert [entry["action"] for entry in entries] == ["run_started", "agent_completed"]


def _messages(stream: bytes) -> list[dict[str, Any]]:
    """Read server-sent events; what carries no data is left out."""
    found = []
    for block in stream.decode().split("\n\n"):
        lines = [line.split(": ", 1) for line in block.splitlines() if not line.startswith(":")]
        message = dict(lines)
        if "data" in message:
            found.append(message)
    return found


async def _streaming(run: Run, user: User, **headers: str) -> Any:
    access = (await sync_to_async(issue_tokens)(user)).access
    return await AsyncClient().get(
        f"{RUNS}/{run.id}/events",
        headers={"Accept": "text/event-stream", "Authorization": f"Bearer {access}", **headers},
    )


async def _run_with_events(*types: str) -> tuple[Cast, Run]:
    cast = await sync_to_async(make_cast)()
    run = await sync_to_async(_run)(cast.alice, status=RunStatus.RUNNING)
    for seq, event_type in enumerate(types, start=1):
        await sync_to_async(make_event)(run, seq, event_type)
    return cast, run


@pytest.fixture
async def database(transactional_db: None) -> AsyncIterator[None]:
    yield
    # The thread that served the requests keeps its connection, which would outlive the database.
    await sync_to_async(connections.close_all)()


async def test_a_stream_brings_every_event_once_and_ends_with_the_last(database: None) -> None:
    cast, run = await _run_with_events("run_queued", "agent_started")
    response = await _streaming(run, cast.alice)
    assert response.status_code == 200
    assert response["Content-Type"] == "text/event-stream"
    assert response["Cache-Control"] == "no-store"
    received = b""
    is_late_event_made = False
    async with asyncio.timeout(20):
        async for part in response.streaming_content:
            received += part
            if b"agent_started" in received and not is_late_event_made:
                is_late_event_made = True
                await sync_to_async(make_event)(run, 3, "agent_completed", data={"text": "a\nb"})
    messages = _messages(received)
    assert [message["id"] for message in messages] == ["1", "2", "3"]
    assert [message["event"] for message in messages] == ["run_queued", "agent_started", "agent_completed"]
    frame = json.loads(messages[-1]["data"])
    assert (frame["seq"], frame["type"], frame["data"]) == (3, "agent_completed", {"text": "a\nb"})


async def test_a_stream_goes_on_after_the_last_event_received(database: None) -> None:
    cast, run = await _run_with_events("run_queued", "agent_started", "agent_completed")
    response = await _streaming(run, cast.alice, **{"Last-Event-ID": "2"})
    received = b"".join([part async for part in response.streaming_content])
    assert [message["id"] for message in _messages(received)] == ["3"]


async def test_a_finished_stream_is_not_begun_again(database: None) -> None:
    cast, run = await _run_with_events("run_queued", "agent_completed")
    await Run.objects.filter(id=run.id).aupdate(status=RunStatus.COMPLETED, finished_at=NOW)
    response = await _streaming(run, cast.alice, **{"Last-Event-ID": "2"})
    assert response.status_code == 204


async def test_a_stream_beats_while_nothing_happens_and_leaves_no_context_open(database: None) -> None:
    cast, run = await _run_with_events("run_queued")
    before = len(get_context_manager())
    stream = stream_events(
        await sync_to_async(sign_in_of)(cast.alice),
        run.id,
        after=1,
        poll_seconds=0.01,
        heartbeat_seconds=0.02,
    )
    async with asyncio.timeout(20):
        assert await anext(stream) == HEAD
        assert await anext(stream) == b": heartbeat\n\n"
    assert len(get_context_manager()) == before
    await stream.aclose()


@pytest.mark.mission_critical("P7")
@pytest.mark.parametrize("end", ["deactivated", "signed out", "expired"])
async def test_a_stream_ends_with_its_users_sign_in(database: None, end: str) -> None:
    cast, run = await _run_with_events("run_queued")
    sign_in = await sync_to_async(sign_in_of)(cast.alice)
    other = await sync_to_async(sign_in_of)(cast.alice)
    if end == "expired":
        sign_in = replace(sign_in, expires_at=datetime.now(UTC) + timedelta(seconds=0.5))
    streams = [stream_events(each, run.id, after=0, poll_seconds=0.01) for each in (sign_in, other)]
    async with asyncio.timeout(20):
        for stream in streams:
            assert await anext(stream) == HEAD
            assert b"run_queued" in await anext(stream)
        if end == "deactivated":
            await User.objects.filter(id=cast.alice.id).aupdate(is_active=False)
        elif end == "signed out":
            await sync_to_async(end_sign_in)(sign_in.proof)
        (message,) = _messages(b"".join([part async for part in streams[0]]))
        assert message["event"] == "error"
        assert json.loads(message["data"])["code"] == "not_authenticated"
        if end != "deactivated":
            await sync_to_async(make_event)(run, 2, "agent_completed")
            assert b"agent_completed" in await anext(streams[1])
    await streams[1].aclose()
