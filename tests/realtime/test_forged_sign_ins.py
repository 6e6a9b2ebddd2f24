"""Every way to come with something that signs nobody in: refused on the socket and over REST alike."""

from collections.abc import Callable
from typing import Any

import jwt
import pytest
from django.conf import settings
from rest_framework.test import APIClient

from contexts.database import call_in_thread
from contexts.models import User
from contexts.tokens import issue_tokens, revoke_tokens
from tests.clients import client_of
from tests.factories import PASSWORD, Cast, make_user
from tests.realtime.test_auth import bearer, established, refused

pytestmark = pytest.mark.mission_critical("P7")


def signed(user: User, *, key: str | None = None, algorithm: str = "HS256", **claims: Any) -> str:
    """Return an access token signed by hand, in which these claims are others; none leaves one out."""
    genuine = jwt.decode(issue_tokens(user).access, options={"verify_signature": False})
    said = {name: value for name, value in {**genuine, **claims}.items() if value is not None}
    key = settings.SECRET_KEY if key is None else key
    return jwt.encode(said, key or None, algorithm=algorithm)


def revoked(user: User) -> str:
    pair = issue_tokens(user)
    revoke_tokens(pair.refresh)
    return pair.access


def of_a_spent_family(user: User) -> str:
    """Return the newest access token of a sign-in whose refresh token was used twice."""
    pair = issue_tokens(user)
    address, body = "/api/v1/auth/token/refresh", {"refresh": pair.refresh}
    access = APIClient().post(address, body, format="json").json()["access"]
    assert APIClient().post(address, body, format="json").status_code == 401
    return str(access)


def of_a_deactivated_user(user: User) -> str:
    access = issue_tokens(user).access
    User.objects.filter(id=user.id).update(is_active=False)
    return access


def of_an_old_password(user: User) -> str:
    access = issue_tokens(user).access
    user.set_password(PASSWORD + "!")
    user.save()
    return access


def with_another_payload(user: User) -> str:
    header, _, signature = issue_tokens(user).access.split(".")
    return f"{header}.{signed(user, jti='another').split('.')[1]}.{signature}"


def with_a_cut_signature(user: User) -> str:
    return issue_tokens(user).access[:-4]


def unsigned(user: User) -> str:
    return signed(user, key="", algorithm="none").rstrip(".") + "."


ATTACKS: dict[str, Callable[[User], str]] = {
    "signed with another key": lambda user: signed(user, key="k" * 50),
    "another payload": with_another_payload,
    "cut": with_a_cut_signature,
    "algorithm none": unsigned,
    "another algorithm": lambda user: signed(user, algorithm="HS512"),
    "expired": lambda user: signed(user, exp=1_700_000_000),
    "never expires": lambda user: signed(user, exp=None),
    "another audience": lambda user: signed(user, aud="another"),
    "no audience": lambda user: signed(user, aud=None),
    "another issuer": lambda user: signed(user, iss="another"),
    "refresh token": lambda user: issue_tokens(user).refresh,
    "no password mark": lambda user: signed(user, hash_password=None),
    "revoked": revoked,
    "of a spent refresh token": of_a_spent_family,
    "made-up family": lambda user: signed(user, family="0" * 32),
    "malformed family": lambda user: signed(user, family="'; --"),
    "nobody": lambda user: signed(user, user_id="00000000-0000-4000-8000-000000000000"),
    "malformed user": lambda user: signed(user, user_id="1 OR 1=1"),
    "of a deactivated user": of_a_deactivated_user,
    "of an old password": of_an_old_password,
    "garbage": lambda user: "a.b.c",
    "empty": lambda user: "",
}


async def outcome_of(token: str) -> tuple[int, list[int]]:
    """Return the code with which a socket is closed, and the status of each kind of request."""
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    answers = [await call_in_thread(ask, "/api/v1/threads") for ask in (client.get, client.post)]
    return await refused(**bearer(token)), [answer.status_code for answer in answers]


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
async def test_what_signs_nobody_in_opens_nothing(cast: Cast) -> None:
    outcomes = {}
    for number, (attack, make) in enumerate(ATTACKS.items()):
        user = await call_in_thread(make_user, f"user{number}", cast.acme)
        outcomes[attack] = await outcome_of(await call_in_thread(make, user))
        # So it was the attack that was refused.
        if attack not in {"of a deactivated user", "of an old password"}:
            token = await call_in_thread(signed, user)
            assert (await established(**bearer(token)))["user_id"] == str(user.id)
    assert outcomes == dict.fromkeys(ATTACKS, (4401, [401, 401]))


async def test_a_ticket_of_an_ended_sign_in_opens_nothing(cast: Cast) -> None:
    def sign_out(user: User) -> None:
        assert clients[user].post("/api/v1/auth/logout").status_code == 204

    clients: dict[User, APIClient] = {}
    ends: list[Callable[[User], Any]] = [sign_out, of_a_deactivated_user, of_an_old_password, User.delete]
    for number, end in enumerate(ends):
        user = await call_in_thread(make_user, f"user{number}", cast.acme)
        client = clients[user] = await call_in_thread(client_of, user)
        queries = []
        for _ in range(2):
            ticket = (await call_in_thread(client.post, "/api/v1/auth/ticket")).json()["ticket"]
            queries.append(f"ticket={ticket}".encode())
        await established(query_string=queries[0])
        await call_in_thread(end, user)
        for query in (*queries, queries[1][:-1] + b"-"):
            assert (end, await refused(query_string=query)) == (end, 4401)
