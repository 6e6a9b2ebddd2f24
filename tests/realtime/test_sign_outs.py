"""A sign-in that ends, ends its open sockets, and leaves those of every other sign-in open."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from django.conf import settings
from django.contrib.sessions.models import Session
from django.test import Client
from rest_framework_simplejwt.tokens import AccessToken

from contexts.changes import LISTENING
from contexts.database import call_in_thread
from contexts.models import TokenFamily, User
from contexts.tokens import TokenPair, issue_tokens, revoke_tokens, rotate_tokens
from realtime.managers import reset_manager_registry
from realtime.review import get_socket_review
from tests.factories import PASSWORD, Cast
from tests.realtime.sockets import Socket
from tests.realtime.test_auth import HOST, ORIGIN, bearer, refused
from tests.realtime.test_review import revoked
from tests.waiting import eventually

pytestmark = pytest.mark.mission_critical("P7")

LOGOUT, TICKET = "/api/v1/auth/logout", "/api/v1/auth/ticket"
Connect = Callable[..., Awaitable[Socket]]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Return what opens a socket by whatever it is given; all end with the test."""
    async with AsyncExitStack() as stack:
        stack.push_async_callback(reset_manager_registry)

        async def connected(**scope: Any) -> Socket:
            socket = await Socket(**scope).connect()
            stack.push_async_callback(socket.leave)
            assert (await socket.receive())["type"] == "connection_established"
            return socket

        yield connected


async def tokens(user: User) -> TokenPair:
    return await call_in_thread(issue_tokens, user)


async def browser(user: User) -> Client:
    client = Client()
    await call_in_thread(client.force_login, user, "django.contrib.auth.backends.ModelBackend")
    return client


def cookie(client: Client) -> dict[str, Any]:
    value = client.cookies[settings.SESSION_COOKIE_NAME].value
    return {"headers": [HOST, ORIGIN, (b"cookie", f"{settings.SESSION_COOKIE_NAME}={value}".encode())]}


async def ticket(issuer: Any, **headers: str) -> dict[str, Any]:
    answer = await call_in_thread(issuer.post, TICKET, headers=headers)
    return {"query_string": f"ticket={answer.json()['ticket']}".encode()}


async def test_a_log_out_ends_all_sockets_of_its_sign_in_and_no_other(cast: Cast, connect: Connect) -> None:
    first, other = await tokens(cast.alice), await tokens(cast.alice)
    rotated = await call_in_thread(rotate_tokens, first.refresh)
    page, elsewhere = await browser(cast.alice), await browser(cast.alice)
    authorization = {"Authorization": f"Bearer {first.access}"}
    by_token = [
        await connect(**bearer(first.access)),
        await connect(**bearer(rotated.access)),
        await connect(**await ticket(Client(), **authorization)),
    ]
    by_session = [await connect(**cookie(page)), await connect(**await ticket(page))]
    stay = [
        await connect(**bearer(other.access)),
        await connect(**bearer(AccessToken.for_user(cast.alice))),
        await connect(**cookie(elsewhere)),
        await connect(**await ticket(elsewhere)),
        await connect(**bearer((await tokens(cast.bob)).access)),
    ]
    answer = await call_in_thread(
        Client().post, LOGOUT, {}, content_type="application/json", headers=authorization
    )
    assert answer.status_code == 204
    for socket in by_token:
        await revoked(socket)
    for socket in (*by_session, *stay):
        assert await socket.hears_nothing()
    answer = await call_in_thread(page.post, LOGOUT, {}, content_type="application/json")
    assert answer.status_code == 204
    for socket in by_session:
        await revoked(socket)
    for socket in stay:
        assert await socket.hears_nothing()
    # Expired sessions that are cleared away end nothing that did not end by the clock.
    await call_in_thread(lambda: Session.objects.all().delete())
    await revoked(stay[2])
    await revoked(stay[3])
    assert await stay[0].hears_nothing()


async def test_another_password_ends_every_other_sign_in(cast: Cast, connect: Connect) -> None:
    page, elsewhere = await browser(cast.alice), await browser(cast.alice)
    sockets = [
        await connect(**bearer((await tokens(cast.alice)).access)),
        await connect(**bearer(AccessToken.for_user(cast.alice))),
        await connect(**cookie(elsewhere)),
    ]
    bobs = await connect(**bearer((await tokens(cast.bob)).access))
    form = {"oldpassword": PASSWORD, "password1": "another-secret-8", "password2": "another-secret-8"}
    answer = await call_in_thread(page.post, "/accounts/password/change/", form)
    assert answer.status_code == 302
    for socket in sockets:
        await revoked(socket)
    assert await bobs.hears_nothing()
    # The page on which it was changed stays signed in, by a session of another key.
    kept = await connect(**cookie(page))
    assert await kept.hears_nothing()
    assert await refused(**cookie(elsewhere)) == 4401


async def test_what_is_no_end_of_a_sign_in_closes_nothing(cast: Cast, connect: Connect) -> None:
    pair, page = await tokens(cast.alice), await browser(cast.alice)
    sockets = [await connect(**bearer(pair.access)), await connect(**cookie(page))]
    rotated = await call_in_thread(rotate_tokens, pair.refresh)
    await call_in_thread(page.get, "/")
    await tokens(cast.alice)
    # Each is told in turn: what came before has been heard when this has closed its socket.
    marker = await tokens(cast.alice)
    socket = await connect(**bearer(marker.access))
    await call_in_thread(revoke_tokens, marker.refresh)
    await revoked(socket)
    for socket in sockets:
        assert await socket.hears_nothing()
    # Whoever copied the spent token cannot take the socket over unnoticed: both ends are cut.
    other = await connect(**bearer(rotated.access))
    with pytest.raises(Exception, match="used before"):
        await call_in_thread(rotate_tokens, pair.refresh)
    await revoked(sockets[0])
    await revoked(other)
    assert await sockets[1].hears_nothing()


async def test_a_socket_goes_on_by_the_sign_in_it_was_refreshed_with(cast: Cast, connect: Connect) -> None:
    first, second = await tokens(cast.alice), await tokens(cast.alice)
    socket = await connect(**bearer(first.access))
    assert (await socket.ask(type="refresh_token", access=second.access))["type"] == "ack"
    await call_in_thread(revoke_tokens, first.refresh)
    marker = await tokens(cast.alice)
    other = await connect(**bearer(marker.access))
    await call_in_thread(revoke_tokens, marker.refresh)
    await revoked(other)
    assert await socket.hears_nothing()
    await call_in_thread(revoke_tokens, second.refresh)
    await revoked(socket)


@pytest.mark.parametrize("when", ["while it opens", "while it is refreshed"])
async def test_a_log_out_in_between_is_not_missed(
    cast: Cast, connect: Connect, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """The sign-in ends after it was found to hold, and what is told of that is heard too early or never."""
    monkeypatch.setattr("contexts.changes.CHANNEL", "nothing_is_told_here")
    pair = await tokens(cast.alice)
    if when == "while it is refreshed":
        socket = await connect(**bearer((await tokens(cast.alice)).access))
        after = "realtime.frames.sign_in_by_token"
    else:
        after = "realtime.auth.sign_in_all"
    module, name = after.rsplit(".", 1)
    looked_up = getattr(__import__(module, fromlist=[name]), name)

    def then_log_out(*args: Any, **kwargs: Any) -> Any:
        outcome = looked_up(*args, **kwargs)
        revoke_tokens(pair.refresh)
        return outcome

    monkeypatch.setattr(after, then_log_out)
    if when == "while it is refreshed":
        await socket.send(type="refresh_token", id="1", access=pair.access)
    else:
        socket = await connect(**bearer(pair.access))
    await revoked(socket)


async def test_a_log_out_that_nobody_told_is_noticed_by_the_clock(
    cast: Cast, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("contexts.changes.CHANNEL", "nothing_is_told_here")
    monkeypatch.setattr("realtime.review.REVIEW_SECONDS", 0.05)
    pair = await tokens(cast.alice)
    socket = await connect(**bearer(pair.access))
    stays = await connect(**bearer((await tokens(cast.alice)).access))
    assert await socket.hears_nothing()
    await call_in_thread(revoke_tokens, pair.refresh)
    await revoked(socket)
    assert await stays.hears_nothing()


async def test_after_a_lost_connection_all_sign_ins_are_looked_at(
    cast: Cast, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("contexts.changes.CHANNEL", "nothing_is_told_here")
    pair = await tokens(cast.alice)
    socket = await connect(**bearer(pair.access))
    review = get_socket_review()
    await eventually(lambda: review._heard > 0)
    await call_in_thread(TokenFamily.objects.update, revoked_at="2026-01-01T00:00:00Z")
    review._subscriptions[0].put(LISTENING)
    await revoked(socket)
