from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any
from uuid import UUID

import jwt
import pytest
from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.test import Client
from rest_framework.test import APIClient
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from agents.models import Run
from contexts.exceptions import NotAuthenticatedError
from contexts.models import SocketTicket, TokenFamily
from contexts.sign_ins import SignIn, sign_ins_of_sessions, valid_sign_ins
from contexts.tickets import redeem_tickets
from contexts.tokens import issue_tokens, read_access_token, revoke_tokens, rotate_tokens
from tests.clients import assert_problem, client_of
from tests.factories import PASSWORD, Cast, make_cast, make_run, make_thread, make_user

ME, TOKEN, REFRESH = "/api/v1/me", "/api/v1/auth/token", "/api/v1/auth/token/refresh"
LOGOUT, TICKET = "/api/v1/auth/logout", "/api/v1/auth/ticket"


@pytest.fixture(autouse=True)
def no_failures_yet() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


def _bearer(token: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return client


def _post(address: str, **body: Any) -> Any:
    return APIClient().post(address, body, format="json")


def test_a_password_buys_tokens_that_sign_in(cast: Cast) -> None:
    response = _post(TOKEN, username="alice", password=PASSWORD)
    assert response.status_code == 200
    pair = response.json()
    assert set(pair) == {"access", "refresh"}
    assert _bearer(pair["access"]).get(ME).json()["username"] == "alice"
    claims = jwt.decode(pair["access"], options={"verify_signature": False})
    assert (claims["iss"], claims["aud"], claims["exp"] - claims["iat"]) == ("netra", "netra", 15 * 60)


@pytest.mark.parametrize(
    "credentials",
    [{"username": "alice", "password": "wrong"}, {"username": "nobody", "password": PASSWORD}],
    ids=["password", "username"],
)
def test_wrong_credentials_are_refused_alike(cast: Cast, credentials: dict[str, str]) -> None:
    problem = assert_problem(_post(TOKEN, **credentials), 401, "not_authenticated")
    assert problem["detail"] == "No active account has this username and password."


def test_a_deactivated_account_gets_no_tokens_and_its_old_ones_end(cast: Cast) -> None:
    pair = issue_tokens(cast.alice)
    cast.alice.is_active = False
    cast.alice.save()
    assert_problem(_post(TOKEN, username="alice", password=PASSWORD), 401, "not_authenticated")
    assert_problem(_bearer(pair.access).get(ME), 401, "not_authenticated")
    assert_problem(_post(REFRESH, refresh=pair.refresh), 401, "not_authenticated")


def test_a_changed_password_ends_old_tokens(cast: Cast) -> None:
    pair = issue_tokens(cast.alice)
    cast.alice.set_password("another-secret-8")
    cast.alice.save()
    assert_problem(_bearer(pair.access).get(ME), 401, "not_authenticated")
    assert_problem(_post(REFRESH, refresh=pair.refresh), 401, "not_authenticated")


def test_guessing_is_slowed_down(cast: Cast) -> None:
    for _ in range(5):
        assert_problem(_post(TOKEN, username="alice", password="guess"), 401, "not_authenticated")
    response = _post(TOKEN, username="alice", password=PASSWORD)
    problem = assert_problem(response, 429, "rate_limited")
    assert problem["resource"] == "sign_in_failures"
    assert int(response["Retry-After"]) > 0


@pytest.mark.parametrize("change", ["issuer", "audience", "key", "algorithm", "expired", "type"])
def test_a_forged_or_expired_token_is_refused(cast: Cast, change: str) -> None:
    claims = jwt.decode(issue_tokens(cast.alice).access, options={"verify_signature": False})
    key, algorithm = settings.SECRET_KEY, "HS256"
    match change:
        case "issuer":
            claims["iss"] = "elsewhere"
        case "audience":
            claims["aud"] = "elsewhere"
        case "key":
            key = "k" * 50
        case "algorithm":
            key, algorithm = "", "none"
        case "expired":
            claims["exp"] = claims["iat"] - 1
        case "type":
            claims["token_type"] = "refresh"
    forged = jwt.encode(claims, key or None, algorithm=algorithm)
    assert_problem(_bearer(forged).get(ME), 401, "not_authenticated")


def test_the_forgery_test_can_fail(cast: Cast) -> None:
    claims = jwt.decode(issue_tokens(cast.alice).access, options={"verify_signature": False})
    same = jwt.encode(claims, settings.SECRET_KEY, algorithm="HS256")
    assert _bearer(same).get(ME).status_code == 200


@pytest.mark.parametrize("header", ["Bearer", "Bearer a b", "Bearer \udc80", "Bearer x.y.z", "Basic YTpi"])
def test_a_malformed_authorization_is_refused(cast: Cast, header: str) -> None:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=header.encode("utf-8", "surrogateescape").decode("latin-1"))
    assert_problem(client.get(ME), 401, "not_authenticated")


def test_a_refresh_token_rotates(cast: Cast) -> None:
    first = issue_tokens(cast.alice)
    second = _post(REFRESH, refresh=first.refresh).json()
    third = _post(REFRESH, refresh=second["refresh"]).json()
    assert len({first.refresh, second["refresh"], third["refresh"]}) == 3
    assert _bearer(third["access"]).get(ME).status_code == 200


def test_using_a_spent_refresh_token_ends_its_sign_in_and_no_other(cast: Cast) -> None:
    stolen, other = issue_tokens(cast.alice), issue_tokens(cast.alice)
    rightful = _post(REFRESH, refresh=stolen.refresh).json()
    rightful = _post(REFRESH, refresh=rightful["refresh"]).json()
    assert_problem(_post(REFRESH, refresh=stolen.refresh), 401, "not_authenticated")
    assert_problem(_post(REFRESH, refresh=rightful["refresh"]), 401, "not_authenticated")
    assert_problem(_bearer(rightful["access"]).get(ME), 401, "not_authenticated")
    assert _post(REFRESH, refresh=other.refresh).status_code == 200


@pytest.mark.parametrize("refresh", ["", "x", "a.b.c"])
def test_rubbish_refreshes_nothing(cast: Cast, refresh: str) -> None:
    status, code = (401, "not_authenticated") if refresh else (400, "invalid_request")
    assert_problem(_post(REFRESH, refresh=refresh), status, code)


def test_an_access_token_or_an_expired_one_refreshes_nothing(cast: Cast) -> None:
    expired = RefreshToken.for_user(cast.alice)
    expired.set_exp(lifetime=timedelta(seconds=-1))
    for token in (str(AccessToken.for_user(cast.alice)), str(expired)):
        assert_problem(_post(REFRESH, refresh=token), 401, "not_authenticated")


@pytest.mark.mission_critical("P7")
@pytest.mark.parametrize("way", ["by the access token", "by the refresh token", "by a spent one"])
def test_logging_out_ends_the_sign_in_and_no_other(cast: Cast, way: str) -> None:
    first, other = issue_tokens(cast.alice), issue_tokens(cast.alice)
    second = _post(REFRESH, refresh=first.refresh).json()
    for access in (first.access, second["access"], other.access):
        assert _bearer(access).get(ME).status_code == 200
    match way:
        case "by the access token":
            response = _bearer(first.access).post(LOGOUT)
        case "by the refresh token":
            response = _post(LOGOUT, refresh=second["refresh"])
        case _:
            response = _post(LOGOUT, refresh=first.refresh)
    assert response.status_code == 204
    for access in (first.access, second["access"]):
        assert_problem(_bearer(access).get(ME), 401, "not_authenticated")
    assert_problem(_post(REFRESH, refresh=second["refresh"]), 401, "not_authenticated")
    assert _bearer(other.access).get(ME).status_code == 200
    assert _post(REFRESH, refresh=other.refresh).status_code == 200
    # Once more does no harm.
    assert _post(LOGOUT, refresh=second["refresh"]).status_code == 204


def test_logging_out_ends_the_session(cast: Cast) -> None:
    client = Client()
    client.force_login(cast.alice, backend="django.contrib.auth.backends.ModelBackend")
    assert client.get(ME).json()["username"] == "alice"
    assert client.post(LOGOUT, {}, content_type="application/json").status_code == 204
    assert_problem(client.get(ME), 401, "not_authenticated")


@pytest.mark.parametrize("asked", [True, False])
def test_logging_out_cancels_the_open_runs_if_asked(cast: Cast, asked: bool) -> None:
    states = {"queued": None, "running": None, "completed": datetime.now(UTC)}
    runs = [
        make_run(make_thread(cast.bob), status=status, finished_at=finished_at)
        for status, finished_at in states.items()
    ]
    of_others = make_run(make_thread(cast.alice))
    before = list(Run.objects.order_by("id").values_list("status", "cancel_requested_at"))
    assert client_of(cast.bob).post(LOGOUT, {"cancel_runs": asked}, format="json").status_code == 204
    if asked:
        for run in (*runs, of_others):
            run.refresh_from_db()
        # None of them is with a worker.
        assert [run.status for run in runs] == ["cancelled", "cancelled", "completed"]
        assert {run.cancel_requested_by for run in runs[:2]} == {"sign_out"}
        assert (of_others.status, of_others.cancel_requested_at) == ("queued", None)
    else:
        assert list(Run.objects.order_by("id").values_list("status", "cancel_requested_at")) == before


def test_who_belongs_nowhere_can_log_out_all_the_same(db: None) -> None:
    client = client_of(make_user("dave"))
    assert client.post(LOGOUT, {"cancel_runs": True}, format="json").status_code == 204
    assert_problem(client.get(ME), 401, "not_authenticated")


def test_expired_sign_ins_are_forgotten_at_the_next(cast: Cast) -> None:
    pairs = [issue_tokens(user) for user in (cast.alice, cast.alice, cast.bob)]
    rotated = rotate_tokens(pairs[1].refresh)
    kept = read_access_token(rotated.access).proof.reference
    TokenFamily.objects.exclude(id=kept).update(expires_at=datetime.now(UTC))
    OutstandingToken.objects.filter(user=cast.alice).update(expires_at=datetime.now(UTC))
    issue_tokens(cast.alice)
    families = TokenFamily.objects.filter(user=cast.alice).values_list("id", flat=True)
    assert len(families) == 2
    assert UUID(kept) in families
    assert OutstandingToken.objects.filter(user=cast.alice).count() == 1
    assert TokenFamily.objects.filter(user=cast.bob).count() == 1


def test_a_refresh_token_of_no_sign_in_refreshes_nothing(cast: Cast) -> None:
    assert_problem(_post(REFRESH, refresh=str(RefreshToken.for_user(cast.alice))), 401, "not_authenticated")


@pytest.mark.django_db(transaction=True)
@pytest.mark.mission_critical("P7")
def test_no_rotation_outlives_a_log_out_at_the_same_time() -> None:
    cast = make_cast()

    def in_thread(work: Callable[[str], Any], refresh: str) -> Any:
        barrier.wait()
        try:
            return work(refresh)
        except NotAuthenticatedError:
            return None
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        for _ in range(8):
            barrier = Barrier(2)
            pair = issue_tokens(cast.alice)
            rotating = pool.submit(in_thread, rotate_tokens, pair.refresh)
            pool.submit(in_thread, revoke_tokens, pair.refresh).result()
            rotated = rotating.result()
            for each in filter(None, (pair, rotated)):
                assert valid_sign_ins([read_access_token(each.access).proof]) == set()
                with pytest.raises(NotAuthenticatedError):
                    rotate_tokens(each.refresh)


def test_logging_out_without_being_signed_in_is_refused(cast: Cast) -> None:
    assert_problem(_post(LOGOUT), 401, "not_authenticated")


def test_a_session_must_prove_that_the_request_is_meant(cast: Cast) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(cast.alice, backend="django.contrib.auth.backends.ModelBackend")
    address = "/api/v1/threads"
    refused = client.post(address, {"title": "x"}, content_type="application/json")
    assert_problem(refused, 403, "permission_denied")
    client.cookies["csrftoken"] = token = "c" * 32
    taken = client.post(
        address, {"title": "x"}, content_type="application/json", headers={"X-CSRFToken": token}
    )
    assert taken.status_code == 201


def test_a_deactivated_users_session_ends(cast: Cast) -> None:
    client = Client()
    client.force_login(cast.alice, backend="django.contrib.auth.backends.ModelBackend")
    cast.alice.is_active = False
    cast.alice.save()
    assert_problem(client.get(ME), 401, "not_authenticated")


def _redeemed(*tickets: str, now: datetime | None = None) -> dict[str, SignIn]:
    return redeem_tickets(tickets, now=now or datetime.now(UTC))


def test_a_ticket_is_good_once_and_stands_for_the_sign_in_it_was_issued_to(cast: Cast) -> None:
    pair = issue_tokens(cast.alice)
    response = _bearer(pair.access).post(TICKET)
    assert response.json()["expires_in"] == 60
    ticket = response.json()["ticket"]
    other = client_of(cast.bob).post(TICKET).json()["ticket"]
    redeemed = _redeemed(ticket, other, "x")
    assert redeemed[ticket] == read_access_token(pair.access)
    assert redeemed[other].user_id == cast.bob.id
    assert len(redeemed) == 2
    assert _redeemed(ticket, other) == {}


def test_a_sessions_ticket_stands_for_the_session(cast: Cast) -> None:
    client = Client()
    client.force_login(cast.alice, backend="django.contrib.auth.backends.ModelBackend")
    ticket = client.post(TICKET).json()["ticket"]
    key = client.cookies["sessionid"].value
    assert _redeemed(ticket)[ticket] == sign_ins_of_sessions([key], now=datetime.now(UTC))[key]


def test_a_ticket_is_good_for_a_minute_and_kept_only_as_a_digest(cast: Cast) -> None:
    ticket = client_of(cast.alice).post(TICKET).json()["ticket"]
    row = SocketTicket.objects.get()
    assert ticket.encode() not in bytes(row.digest)
    assert _redeemed(ticket, now=row.expires_at) == {}


@pytest.mark.parametrize("ticket", ["", "x", "é", "\ud800", "x" * 100_000])
def test_an_unknown_ticket_is_refused(db: None, ticket: str) -> None:
    assert _redeemed(ticket) == {}


def test_a_ticket_needs_a_sign_in(db: None) -> None:
    assert_problem(_post(TICKET), 401, "not_authenticated")
