"""Hearing of changes: each with whom it concerns, none lost, connected again by itself."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.db import connection, transaction

from contexts.changes import (
    ANYTHING,
    APPLICATION_NAME,
    CHANNEL,
    LISTENING,
    SIGN_IN,
    Change,
    get_change_listener,
)
from contexts.database import call_in_thread
from contexts.models import (
    Membership,
    QuotaGrant,
    QuotaOverride,
    Role,
    Tenant,
    Tier,
    TierLimit,
    TokenFamily,
    User,
)
from contexts.sign_ins import digest_of_session
from contexts.windows import EPOCH
from tests.factories import Cast, make_cast
from tests.waiting import eventually


class Ear:
    """A receiver that remembers what it was told, and can be waited on."""

    def __init__(self) -> None:
        self.heard: list[Change] = []
        self.failures = 0
        self._arrived = asyncio.Condition()

    async def __call__(self, changes: frozenset[Change]) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("not now")
        async with self._arrived:
            self.heard.extend(changes)
            self._arrived.notify_all()

    async def until(self, *expected: Change) -> list[Change]:
        """Wait until all of these were heard; return everything heard, and forget it."""
        async with asyncio.timeout(20), self._arrived:
            await self._arrived.wait_for(lambda: set(expected) <= set(self.heard))
        heard, self.heard = self.heard, []
        return heard


@pytest.fixture
def cast(transactional_db: None) -> Cast:
    """Return alice and bob of acme, and carol of globex."""
    return make_cast()


@pytest.fixture
async def ear() -> AsyncIterator[Ear]:
    """Yield a receiver that hears everything from now on."""
    ear = Ear()
    subscription = get_change_listener().subscribe(ear, sign_ins=True)
    await ear.until(LISTENING)
    yield ear
    await get_change_listener().unsubscribe(subscription)


def statement(sql: str, *values: Any) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchall() if cursor.description else []


def listeners() -> int:
    sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND datname = current_database()"
    return int(statement(sql, APPLICATION_NAME)[0][0])


async def test_every_kind_of_change_says_whom_it_concerns(cast: Cast, ear: Ear) -> None:
    tier = await call_in_thread(Tier.objects.get, slug="mid")
    acme, bob = cast.acme.id, cast.bob.id
    adjustment = {"tenant": cast.acme, "resource": "tokens", "reason": "A test."}

    def override_bob() -> None:
        QuotaOverride.objects.create(**adjustment, user=cast.bob, limit=1)

    def grant_all() -> None:
        QuotaGrant.objects.create(**adjustment, amount=1, window_start=EPOCH)

    def update(model: Any, fields: dict[str, Any], **which: Any) -> Callable[[], None]:
        return lambda: model.objects.filter(**which).update(**fields)

    steps: list[tuple[Callable[[], Any], Change]] = [
        (override_bob, Change(kind="limits", tenant_id=acme, user_id=bob)),
        (QuotaOverride.objects.all().delete, Change(kind="limits", tenant_id=acme, user_id=bob)),
        (grant_all, Change(kind="limits", tenant_id=acme)),
        (
            update(TierLimit, {"limit": 7}, tier=tier, resource="tokens"),
            Change(kind="limits", tier_id=tier.id),
        ),
        (update(Tier, {"fallback_model": "offline"}, id=tier.id), Change(kind="tier", tier_id=tier.id)),
        (update(Tenant, {"tier": tier}, id=acme), Change(kind="tenant", tenant_id=acme)),
        (update(Tenant, {"is_active": False}, id=acme), Change(kind="tenant", tenant_id=acme)),
        (
            update(Membership, {"role": Role.VIEWER}, user=cast.bob),
            Change(kind="membership", tenant_id=acme, user_id=bob),
        ),
        (
            Membership.objects.filter(user=cast.bob).delete,
            Change(kind="membership", tenant_id=acme, user_id=bob),
        ),
        (update(User, {"is_active": False}, id=bob), Change(kind="user", user_id=bob)),
    ]
    for step, expected in steps:
        await call_in_thread(step)
        assert set(await ear.until(expected)) == {expected}


async def test_what_concerns_nobodys_rights_is_not_told(cast: Cast, ear: Ear) -> None:
    await call_in_thread(Tenant.objects.filter(id=cast.acme.id).update, name="Acme & Sons")
    await call_in_thread(User.objects.filter(id=cast.bob.id).update, first_name="Bob")
    await call_in_thread(User.objects.filter(id=cast.carol.id).update, is_active=False)
    carols = Change(kind="user", user_id=cast.carol.id)
    assert await ear.until(carols) == [carols]


async def test_sign_ins_that_end_are_told_to_who_asked(cast: Cast, ear: Ear) -> None:
    other = Ear()
    subscription = get_change_listener().subscribe(other)
    now = datetime.now(UTC)
    bob = Change(kind=SIGN_IN, user_id=cast.bob.id)
    marker = Change(kind="user", user_id=cast.carol.id)

    def make(**when: int) -> tuple[TokenFamily, SessionStore]:
        family = TokenFamily.objects.create(user=cast.bob, expires_at=now + timedelta(**when))
        session = SessionStore()
        session.set_expiry(now + timedelta(**when))
        session.save()
        return family, session

    def end(family: TokenFamily, session: SessionStore) -> None:
        family.expires_at += timedelta(seconds=1)
        family.save()
        session["seen"] = "something"
        session.save()
        family.revoked_at = now
        family.save()
        family.delete()
        session.delete()

    def change_password() -> None:
        cast.bob.set_password("another-secret-8")
        cast.bob.save()

    family, session = await call_in_thread(make, hours=1)
    ended = Change(kind=SIGN_IN, sign_in=digest_of_session(session.session_key))
    await call_in_thread(end, family, session)
    assert sorted(map(str, await ear.until(bob, ended))) == sorted(map(str, [bob, ended]))
    family, _ = await call_in_thread(make, hours=1)
    for step in (family.delete, change_password):
        await call_in_thread(step)
        assert await ear.until(bob) == [bob]
    # Whoever clears away what has expired, thousands at a time, tells nobody.
    expired = await call_in_thread(make, hours=-1)
    for each in expired:
        await call_in_thread(each.delete)
    await call_in_thread(User.objects.filter(id=cast.carol.id).update, is_active=False)
    assert await ear.until(marker) == [marker]
    assert set(await other.until(marker)) <= {LISTENING, marker}
    await get_change_listener().unsubscribe(subscription)


async def test_of_a_moved_override_both_tenants_are_told(cast: Cast, ear: Ear) -> None:
    def create() -> None:
        QuotaOverride.objects.create(tenant=cast.acme, resource="tokens", limit=1, reason="A test.")

    acmes, globexs = (Change(kind="limits", tenant_id=tenant.id) for tenant in (cast.acme, cast.globex))
    await call_in_thread(create)
    assert await ear.until(acmes) == [acmes]
    await call_in_thread(QuotaOverride.objects.update, tenant=cast.globex)
    assert set(await ear.until(globexs, acmes)) == {acmes, globexs}


async def test_what_is_rolled_back_is_not_told(cast: Cast, ear: Ear) -> None:
    def change_mind() -> None:
        with transaction.atomic():
            User.objects.filter(id=cast.bob.id).update(is_active=False)
            transaction.set_rollback(True)

    await call_in_thread(change_mind)
    await call_in_thread(User.objects.filter(id=cast.carol.id).update, is_active=False)
    carols = Change(kind="user", user_id=cast.carol.id)
    assert await ear.until(carols) == [carols]


async def test_after_a_lost_connection_anything_may_have_changed(cast: Cast, ear: Ear) -> None:
    await eventually(lambda: listeners() == 1)
    sql = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = %s AND datname = current_database()"
    )
    assert await call_in_thread(statement, sql, APPLICATION_NAME) == [(True,)]
    await ear.until(ANYTHING)
    await call_in_thread(User.objects.filter(id=cast.bob.id).update, is_active=False)
    await ear.until(Change(kind="user", user_id=cast.bob.id))


async def test_words_that_are_not_understood_mean_anything(cast: Cast, ear: Ear) -> None:
    for payload in ("", "{", "[]", '{"tenant_id": null}', '{"kind": "user", "user_id": "me"}'):
        await call_in_thread(statement, "SELECT pg_notify(%s, %s)", CHANNEL, payload)
        assert await ear.until(ANYTHING) == [ANYTHING]


async def test_a_receiver_that_fails_is_told_again(
    cast: Cast, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("contexts.changes.RETRY_SECONDS", 0.01)
    ear.failures = 2
    await call_in_thread(User.objects.filter(id=cast.bob.id).update, is_active=False)
    bobs = Change(kind="user", user_id=cast.bob.id)
    assert await ear.until(bobs) == [bobs]


async def test_a_silent_connection_is_tried_and_goes_on(
    cast: Cast, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Ear()
    monkeypatch.setattr("contexts.changes.HEARTBEAT_SECONDS", 0.01)
    listener = get_change_listener()
    subscription = listener.subscribe(other)
    await call_in_thread(User.objects.filter(id=cast.bob.id).update, is_active=False)
    bobs = Change(kind="user", user_id=cast.bob.id)
    # Both share one connection, which told the first one long ago that it listens.
    assert await ear.until(bobs) == await other.until(bobs) == [bobs]
    await eventually(lambda: listeners() == 1)
    await listener.unsubscribe(subscription)


async def test_the_connection_is_closed_with_the_last_subscription(cast: Cast) -> None:
    first, second = Ear(), Ear()
    listener = get_change_listener()
    subscriptions = [listener.subscribe(first), listener.subscribe(second)]
    await first.until(LISTENING)
    await listener.unsubscribe(subscriptions[0])
    await eventually(lambda: listeners() == 1)
    await listener.unsubscribe(subscriptions[1])
    await eventually(lambda: listeners() == 0)
