"""Which sign-ins still hold, whatever they rest on, by one statement for all."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth import BACKEND_SESSION_KEY
from django.contrib.sessions.models import Session
from django.test import Client
from rest_framework_simplejwt.tokens import AccessToken

from contexts.models import TokenFamily, User
from contexts.sign_ins import SignInProof, sign_ins_of_sessions, valid_sign_ins
from contexts.tokens import read_access_token
from tests.clients import sign_in_of
from tests.factories import PASSWORD, Cast, make_cast

pytestmark = pytest.mark.mission_critical("P7")


@pytest.fixture
def cast(db: None) -> Cast:
    """Return alice and bob of acme, and carol of globex."""
    return make_cast()


def of_session(user: User) -> SignInProof:
    client = Client()
    client.force_login(user, "django.contrib.auth.backends.ModelBackend")
    (sign_in,) = sign_ins_of_sessions([client.cookies["sessionid"].value], now=datetime.now(UTC)).values()
    return sign_in.proof


def of_token(user: User) -> SignInProof:
    return sign_in_of(user).proof


def of_minted_token(user: User) -> SignInProof:
    return read_access_token(str(AccessToken.for_user(user))).proof


def deactivate(user: User) -> None:
    User.objects.filter(id=user.id).update(is_active=False)


def change_password(user: User) -> None:
    user.set_password(PASSWORD + "!")
    user.save()


# Whether sign-ins by (token, session, minted token) still hold afterwards.
ENDS: list[tuple[Callable[[User], Any], tuple[bool, bool, bool]]] = [
    (lambda user: None, (True, True, True)),
    (deactivate, (False, False, False)),
    (change_password, (False, False, False)),
    (lambda user: user.delete(), (False, False, False)),
    (lambda user: TokenFamily.objects.update(revoked_at=datetime.now(UTC)), (False, True, True)),
    (lambda user: TokenFamily.objects.all().delete(), (False, True, True)),
    (lambda user: Session.objects.all().delete(), (True, False, True)),
    (lambda user: Session.objects.update(expire_date=datetime(2026, 1, 1, tzinfo=UTC)), (True, False, True)),
]


@pytest.mark.parametrize(("end", "expected"), ENDS)
def test_a_sign_in_ends_with_what_it_rests_on(
    cast: Cast,
    django_assert_num_queries: Any,
    end: Callable[[User], Any],
    expected: tuple[bool, bool, bool],
) -> None:
    proofs = [make(cast.alice) for make in (of_token, of_session, of_minted_token)]
    end(cast.alice)
    of_others = [make(cast.bob) for make in (of_token, of_session, of_minted_token)]
    with django_assert_num_queries(1):
        valid = valid_sign_ins([*proofs, *of_others])
    assert tuple(proof in valid for proof in proofs) == expected
    assert valid >= set(of_others)


def test_nothing_made_up_holds(cast: Cast, django_assert_num_queries: Any) -> None:
    alices, bobs = of_token(cast.alice), of_token(cast.bob)
    session = of_session(cast.alice)
    made_up = [
        # Another user's family or session; one that never was; one kind's for the other's.
        replace(alices, reference=bobs.reference),
        replace(alices, reference=uuid4().hex),
        replace(alices, user_id=uuid4()),
        replace(alices, password_mark=bobs.password_mark),
        replace(session, user_id=cast.bob.id),
        replace(session, reference="0" * 64),
        replace(session, password_mark=alices.password_mark),
        replace(alices, password_mark=session.password_mark),
        replace(session, reference=alices.reference),
    ]
    assert valid_sign_ins(made_up) == set()
    assert valid_sign_ins([alices, bobs, session]) == {alices, bobs, session}
    with django_assert_num_queries(0):
        assert valid_sign_ins([]) == set()


def test_a_session_of_a_replaced_key_holds_as_long_as_the_key_is_a_fallback(
    cast: Cast, settings: Any
) -> None:
    proof = of_session(cast.alice)
    before, settings.SECRET_KEY = settings.SECRET_KEY, "k" * 50
    assert valid_sign_ins([proof]) == set()
    settings.SECRET_KEY_FALLBACKS = [before]
    assert valid_sign_ins([proof]) == {proof}


def test_a_session_in_which_nobody_signed_in_as_we_do_says_nothing(cast: Cast) -> None:
    client = Client()
    client.force_login(cast.alice, "django.contrib.auth.backends.ModelBackend")
    session = client.session
    session[BACKEND_SESSION_KEY] = "somewhere.else.Backend"
    session.save()
    now = datetime.now(UTC)
    keys = [session.session_key, "", "é", "x" * 5_000, "\0"]
    assert sign_ins_of_sessions(keys, now=now) == {}
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session.save()
    assert set(sign_ins_of_sessions(keys, now=now)) == {session.session_key}
    assert sign_ins_of_sessions(keys, now=now + timedelta(days=365)) == {}
