"""When something below fails: the client is told in words that give nothing away, the socket lives on."""

from typing import Any

import pytest
from django.db import OperationalError
from rest_framework_simplejwt.tokens import AccessToken

from agents.models import Thread
from contexts.database import call_in_thread
from contexts.factory import UserContextFactory
from contexts.manager import get_context_manager
from contexts.models import User
from realtime.envelopes import Envelope
from realtime.fanout import get_fanout
from realtime.quota_reports import flush_quota_reports
from tests.factories import Cast, make_run, make_thread
from tests.realtime.happenings import happen, publish, record
from tests.realtime.sockets import OpenSocket
from tests.realtime.test_auth import bearer, refused


def failing(error: Exception) -> Any:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise error

    return fail


async def test_a_silent_database_is_told_as_unavailable(
    cast: Cast, open_socket: OpenSocket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    socket = await open_socket(cast.alice)
    error = OperationalError("password of host secret-canary")
    monkeypatch.setattr(UserContextFactory, "for_request", failing(error))
    answer = await socket.ask(type="send_message", text="Hello")
    assert (answer["type"], answer["code"]) == ("error", "unavailable")
    assert "secret-canary" not in answer["message"]
    assert "secret-canary" in caplog.text
    assert (await socket.ask(type="ping", id="2"))["type"] == "pong"
    monkeypatch.setattr(UserContextFactory, "unrecorded_for_socket", failing(error))
    with pytest.raises(AssertionError, match="1012"):
        await open_socket(cast.alice)
    monkeypatch.setattr("realtime.auth.sign_in_all", failing(error))
    assert await refused(**bearer(AccessToken.for_user(cast.alice))) == 1012


async def test_an_unforeseen_error_gets_an_incident_and_gives_nothing_away(
    cast: Cast, open_socket: OpenSocket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    socket = await open_socket(cast.alice)
    monkeypatch.setattr(UserContextFactory, "for_request", failing(RuntimeError("secret-canary")))
    answer = await socket.ask(type="send_message", text="Hello")
    assert (answer["type"], answer["code"]) == ("error", "internal")
    assert "secret-canary" not in answer["message"]
    incident_id = answer["message"].split()[-1].rstrip(".")
    assert f"Incident {incident_id}" in caplog.text
    assert (await socket.ask(type="ping", id="2"))["type"] == "pong"
    monkeypatch.setattr(UserContextFactory, "unrecorded_for_socket", failing(RuntimeError("secret-canary")))
    with pytest.raises(AssertionError, match="1011"):
        await open_socket(cast.alice)


async def test_a_log_that_cannot_be_read_ends_the_socket_for_a_resume(
    cast: Cast, open_socket: OpenSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await call_in_thread(lambda: make_run(make_thread(cast.alice)))
    socket = await open_socket(cast.alice)
    await socket.ask(type="subscribe", thread_id=str(run.thread_id))
    await record(run, 1)
    with monkeypatch.context() as patch:
        patch.setattr(UserContextFactory, "for_request", failing(OperationalError("gone")))
        await happen(run, 2)
        assert await socket.close_code() == 4408
    again = await open_socket(cast.alice)
    await again.ask(type="resume", cursors={str(run.id): 0})
    assert [(await again.receive())["seq"] for _ in range(2)] == [1, 2]


async def test_a_thread_deleted_under_way_is_waited_for_no_longer(
    cast: Cast, open_socket: OpenSocket
) -> None:
    run = await call_in_thread(lambda: make_run(make_thread(cast.alice)))
    other = await call_in_thread(lambda: make_run(make_thread(cast.alice)))
    socket = await open_socket(cast.alice)
    for thread_id in (run.thread_id, other.thread_id):
        await socket.ask(type="subscribe", thread_id=str(thread_id))
    events = [await record(run, number) for number in (1, 2)]
    await call_in_thread(Thread.objects.filter(id=run.thread_id).delete)
    following = [Envelope.of_event(events[1]), Envelope.of_event(await record(other, 1))]
    get_fanout().send(cast.alice.id, following)
    assert (await socket.receive())["run_id"] == str(other.id)
    assert await socket.hears_nothing()


async def test_a_user_deactivated_under_way_gets_no_event_of_a_gap(
    cast: Cast, open_socket: OpenSocket
) -> None:
    run = await call_in_thread(lambda: make_run(make_thread(cast.alice)))
    socket = await open_socket(cast.alice)
    await socket.ask(type="subscribe", thread_id=str(run.thread_id))
    await record(run, 1)
    await call_in_thread(User.objects.filter(id=cast.alice.id).update, is_active=False)
    await happen(run, 2)
    assert await socket.close_code() == 4401


async def test_a_run_that_ends_after_its_owner_left_reports_no_quota(
    cast: Cast, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="realtime")
    run = await call_in_thread(lambda: make_run(make_thread(cast.bob)))
    await call_in_thread(User.objects.filter(id=cast.bob.id).update, is_active=False)
    before = len(get_context_manager())
    await publish(await record(run, 1, "run_cancelled"))
    await flush_quota_reports()
    assert "No quotas are reported" in caplog.text
    assert len(get_context_manager()) == before
