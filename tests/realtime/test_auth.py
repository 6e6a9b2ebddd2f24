"""Signing sockets in, and refusing those who may not."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings
from rest_framework_simplejwt.tokens import AccessToken

from contexts.database import call_in_thread
from contexts.exceptions import NetraError, NotAuthenticatedError
from contexts.models import Membership, SocketTicket, User
from contexts.sign_ins import SignIn
from contexts.tokens import issue_tokens, revoke_tokens
from realtime.auth import read_credentials, sign_in_all
from realtime.review import get_socket_review
from tests.clients import client_of
from tests.factories import PASSWORD, Cast, make_user
from tests.realtime.sockets import OpenSocket, Socket
from tests.waiting import eventually

HOST = (b"host", b"localhost:8000")
ORIGIN = (b"origin", b"http://localhost:8000")


async def established(**scope: Any) -> dict[str, Any]:
    socket = await Socket(**scope).connect()
    assert socket.accepted
    frame = await socket.receive()
    await socket.leave()
    return frame


async def refused(**scope: Any) -> int:
    socket = await Socket(**scope).connect()
    assert socket.accepted, "refused at the handshake"
    return await socket.close_code()


def bearer(token: object) -> dict[str, Any]:
    return {"subprotocols": ["netra.v1", f"bearer.{token}"]}


def cookie_of(user: User) -> tuple[bytes, bytes]:
    client = Client()
    client.force_login(user, "django.contrib.auth.backends.ModelBackend")
    return b"cookie", f"sessionid={client.cookies['sessionid'].value}".encode()


async def test_a_token_signs_in_and_the_protocol_is_answered(cast: Cast) -> None:
    token = AccessToken.for_user(cast.alice)
    socket = await Socket(**bearer(token)).connect()
    assert socket.subprotocol == "netra.v1"
    frame = await socket.receive()
    assert frame["user_id"] == str(cast.alice.id)
    assert frame["tenant_id"] == str(cast.acme.id)
    assert datetime.fromisoformat(frame["expires_at"]).timestamp() == token["exp"]
    await socket.leave()


async def test_a_ticket_signs_in_once_for_as_long_as_the_sign_in_it_was_issued_to(cast: Cast) -> None:
    session = Client()
    await call_in_thread(session.force_login, cast.alice, "django.contrib.auth.backends.ModelBackend")
    for issuer in (await call_in_thread(client_of, cast.alice), session):
        answer = await call_in_thread(issuer.post, "/api/v1/auth/ticket")
        (row,) = await call_in_thread(lambda: list(SocketTicket.objects.values()))
        query = f"ticket={answer.json()['ticket']}".encode()
        frame = await established(query_string=query)
        assert frame["user_id"] == str(cast.alice.id)
        assert datetime.fromisoformat(frame["expires_at"]) == row["signed_in_until"]
        assert await refused(query_string=query) == 4401
    # Of two that come with the same ticket at the same moment it is the first.
    ticket = (await call_in_thread(session.post, "/api/v1/auth/ticket")).json()["ticket"]
    offered = [read_credentials({"query_string": f"ticket={ticket}".encode()})] * 2
    first, second = await call_in_thread(sign_in_all, offered, now=datetime.now(UTC))
    assert isinstance(first, SignIn)
    assert isinstance(second, NotAuthenticatedError)


async def test_many_sign_in_at_once_and_each_by_what_it_offers(
    cast: Cast, django_assert_num_queries: Any
) -> None:
    cookies = [await call_in_thread(cookie_of, user) for user in (cast.alice, cast.bob)]
    clients = [await call_in_thread(client_of, user) for user in (cast.bob, cast.carol)]
    tickets = [(await call_in_thread(each.post, "/api/v1/auth/ticket")).json()["ticket"] for each in clients]
    offered = [
        *(read_credentials(bearer(AccessToken.for_user(user))) for user in (cast.alice, cast.carol)),
        read_credentials(bearer("forged")),
        *(read_credentials({"query_string": f"ticket={each}".encode()}) for each in (*tickets, "spent")),
        *(read_credentials({"headers": [HOST, ORIGIN, cookie]}) for cookie in cookies),
        read_credentials({}),
    ]

    def sign_in() -> list[SignIn | NetraError]:
        # Sessions, whatever holds, and for tickets a scope, their deletion and its end.
        with django_assert_num_queries(6):
            return sign_in_all(offered, now=datetime.now(UTC))

    outcomes = await call_in_thread(sign_in)
    users = [outcome.user_id if isinstance(outcome, SignIn) else None for outcome in outcomes]
    alice, bob, carol = cast.alice.id, cast.bob.id, cast.carol.id
    assert users == [alice, carol, None, bob, carol, None, alice, bob, None]
    assert all(isinstance(each, SignIn | NotAuthenticatedError) for each in outcomes)


async def test_a_session_cookie_signs_in_from_the_servers_own_page(cast: Cast) -> None:
    cookie = await call_in_thread(cookie_of, cast.bob)
    assert (await established(headers=[HOST, ORIGIN, cookie]))["user_id"] == str(cast.bob.id)


@pytest.mark.parametrize(
    "headers",
    [
        [HOST],
        [HOST, (b"origin", b"null")],
        [HOST, (b"origin", b"http://evil.example")],
        [HOST, (b"origin", b"http://localhost:9000")],
        [HOST, (b"origin", b"http://localhost:8000.evil.example")],
        [HOST, (b"origin", b"http://localhost:x")],
        [HOST, (b"origin", b"file://localhost:8000")],
        [(b"host", b"rebound.example"), (b"origin", b"http://rebound.example")],
    ],
)
async def test_a_cookie_from_elsewhere_is_refused_at_the_handshake(
    cast: Cast, headers: list[tuple[bytes, bytes]]
) -> None:
    cookie = await call_in_thread(cookie_of, cast.alice)
    assert not (await Socket(headers=[*headers, cookie]).connect()).accepted


async def test_a_trusted_origin_may_use_the_cookie(cast: Cast, settings: Settings) -> None:
    settings.CSRF_TRUSTED_ORIGINS = ["https://*.example.org"]
    cookie = await call_in_thread(cookie_of, cast.alice)
    origin = (b"origin", b"https://chat.example.org")
    assert (await established(headers=[HOST, origin, cookie]))["user_id"] == str(cast.alice.id)


@pytest.mark.parametrize("value", ["nobody-knows-it", "", '"\\000"', "a" * 5_000, "0123456789abcdef"])
async def test_a_cookie_of_no_session_closes_with_4401(cast: Cast, value: str) -> None:
    cookie = (b"cookie", f"sessionid={value}".encode())
    assert await refused(headers=[HOST, ORIGIN, cookie]) == 4401


async def test_the_first_sign_in_that_is_present_counts(cast: Cast) -> None:
    cookie = await call_in_thread(cookie_of, cast.bob)
    scope = {"headers": [HOST, ORIGIN, cookie], **bearer(AccessToken.for_user(cast.alice))}
    assert (await established(**scope))["user_id"] == str(cast.alice.id)
    assert await refused(**{**scope, **bearer("wrong")}) == 4401
    assert await refused(headers=[HOST, ORIGIN, cookie], query_string=b"ticket=wrong") == 4401


async def test_nobody_is_closed_with_4401(cast: Cast) -> None:
    assert await refused() == 4401


async def test_a_token_in_the_query_is_not_accepted(cast: Cast) -> None:
    token = AccessToken.for_user(cast.alice)
    for name in ("token", "access", "access_token", "bearer"):
        assert await refused(query_string=f"{name}={token}".encode()) == 4401


@pytest.mark.mission_critical("P8")
async def test_the_query_is_gone_before_the_server_logs_it(cast: Cast) -> None:
    socket = Socket(query_string=b"ticket=secret")
    await socket.connect()
    assert await socket.close_code() == 4401
    assert socket.communicator.scope["query_string"] == b""


async def test_a_deactivated_user_is_closed_with_4401(cast: Cast) -> None:
    token = AccessToken.for_user(cast.alice)
    cookie = await call_in_thread(cookie_of, cast.alice)
    await call_in_thread(User.objects.filter(id=cast.alice.id).update, is_active=False)
    assert await refused(**bearer(token)) == 4401
    assert await refused(headers=[HOST, ORIGIN, cookie]) == 4401


async def test_a_changed_password_ends_tokens_and_sessions(cast: Cast) -> None:
    token = AccessToken.for_user(cast.alice)
    cookie = await call_in_thread(cookie_of, cast.alice)
    cast.alice.set_password(PASSWORD + "!")
    await call_in_thread(cast.alice.save)
    assert await refused(**bearer(token)) == 4401
    assert await refused(headers=[HOST, ORIGIN, cookie]) == 4401


async def test_a_user_without_an_organisation_is_closed_with_4403(cast: Cast) -> None:
    dave = await call_in_thread(make_user, "dave")
    assert await refused(**bearer(AccessToken.for_user(dave))) == 4403
    token = AccessToken.for_user(cast.bob)
    await call_in_thread(Membership.objects.filter(user=cast.bob).delete)
    assert await refused(**bearer(token)) == 4403


async def test_a_refreshed_token_extends_the_sign_in(cast: Cast, open_socket: OpenSocket) -> None:
    socket = await open_socket(cast.alice)
    later = AccessToken.for_user(cast.alice)
    later.set_exp(lifetime=timedelta(hours=2))
    answer = await socket.ask(type="refresh_token", access=str(later))
    assert answer["type"] == "ack"
    assert datetime.fromisoformat(answer["expires_at"]).timestamp() == later["exp"]


async def test_another_users_token_ends_the_socket_with_4403(cast: Cast, open_socket: OpenSocket) -> None:
    socket = await open_socket(cast.alice)
    answer = await socket.ask(type="refresh_token", access=str(AccessToken.for_user(cast.bob)))
    assert answer["type"] == "error"
    assert await socket.close_code() == 4403


async def test_an_invalid_refresh_is_refused_and_the_socket_lives_on(
    cast: Cast, open_socket: OpenSocket
) -> None:
    socket = await open_socket(cast.alice)
    token = AccessToken.for_user(cast.alice)
    token.set_exp(lifetime=timedelta(seconds=-1))
    ended = await call_in_thread(issue_tokens, cast.alice)
    await call_in_thread(revoke_tokens, ended.refresh)
    for access in (str(token), ended.access):
        answer = await socket.ask(type="refresh_token", access=access)
        assert (answer["type"], answer["code"]) == ("error", "not_authenticated")
    assert (await socket.ask(type="ping", id="2"))["type"] == "pong"


async def test_a_user_deactivated_unheard_is_closed_at_the_next_frame(
    cast: Cast, open_socket: OpenSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("contexts.changes.CHANNEL", "nothing_is_told_here")
    monkeypatch.setattr("realtime.review.valid_sign_ins", set)
    await open_socket(cast.carol)
    review = get_socket_review()
    await eventually(lambda: review._heard == 1)
    socket = await open_socket(cast.alice)
    await call_in_thread(User.objects.filter(id=cast.alice.id).update, is_active=False)
    answer = await socket.ask(type="send_message", text="Hello")
    assert (answer["type"], answer["code"]) == ("error", "not_authenticated")
    assert await socket.close_code() == 4401
