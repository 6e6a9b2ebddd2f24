"""Many sockets opened and left at once: each outcome its own, books and records exact, nobody stuck."""

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.db import OperationalError, transaction
from django.db.backends.utils import CursorWrapper

from contexts.batching import Batcher
from contexts.database import call_in_thread
from contexts.exceptions import LimitError, NetraError, NotAuthenticatedError, PermissionDeniedError
from contexts.factory import UserContextFactory
from contexts.identifiers import new_id
from contexts.manager import get_context_manager
from contexts.models import AuditEntry, ContextRecord, QuotaOverride, QuotaReservation, QuotaUsage, User
from contexts.quota_statements import Reservation
from contexts.quotas import expire_quotas, release_quota, renew_quotas, reserve_quota
from contexts.records import close_abandoned_records, close_record, close_records
from contexts.scope import owner_scope
from contexts.sockets import (
    OpenedSocket,
    WantedSocket,
    give_up_sockets,
    open_sockets,
    release_place,
    release_quotas,
)
from tests.contexts.quota_books import at_once, imbalances, member_of
from tests.contexts.socket_batches import ids, opened, wanted
from tests.factories import make_cast, make_tenant, make_user
from tests.waiting import eventually

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.mission_critical("P4")]
PLACES = "websocket_connections"
LIMIT = 6


@pytest.fixture(autouse=True)
def no_context_is_left() -> Iterator[None]:
    """See that no context of these sockets stays open in this process."""
    before = len(get_context_manager())
    yield
    assert len(get_context_manager()) == before


@pytest.fixture
def users(transactional_db: None) -> list[User]:
    """Return five users of two tenants, each with six places; nobody has a counter yet."""
    acme, globex = make_tenant("acme"), make_tenant("globex")
    for tenant in (acme, globex):
        QuotaOverride.objects.create(tenant=tenant, resource=PLACES, limit=LIMIT, reason="a test")
    return [make_user(f"user{number}", (acme, globex)[number % 2]) for number in range(5)]


def audited(action: str) -> list[str]:
    return sorted(map(str, AuditEntry.objects.filter(action=action).values_list("context_id", flat=True)))


def recorded(**fields: object) -> list[str]:
    return sorted(map(str, ContextRecord.objects.filter(**fields).values_list("id", flat=True)))


def test_each_socket_of_a_batch_has_an_outcome_of_its_own(transactional_db: None) -> None:
    cast = make_cast()
    gone = make_user("gone", cast.acme, is_active=False)
    alone = make_user("alone")
    stranger = User(id=new_id())
    # On the free tier carol may have two.
    batch = wanted(cast.carol, stranger, cast.alice, gone, cast.carol, alone, cast.carol, cast.bob)
    outcomes = open_sockets(batch)
    alices = outcomes[2]
    assert [type(outcome) for outcome in outcomes[1::2]] == [
        NotAuthenticatedError,
        NotAuthenticatedError,
        PermissionDeniedError,
        OpenedSocket,
    ]
    refusal = outcomes[6]
    assert isinstance(refusal, LimitError)
    assert (refusal.resource, refusal.limit, refusal.reserved) == (
        PLACES,
        2,
        2,
    )
    sockets = opened(outcomes)
    assert [socket.context.user_id for socket in sockets] == [
        cast.carol.id,
        cast.alice.id,
        cast.carol.id,
        cast.bob.id,
    ]
    assert [socket.context.connection_id for socket in sockets] == [
        batch[number].connection_id for number in (0, 2, 4, 7)
    ]
    assert ids(sockets) == recorded(closed_at=None, operation="socket") == audited("context_opened")
    assert {r.id for r in QuotaReservation.objects.filter(purpose="socket")} == {s.lease.id for s in sockets}
    assert imbalances() == {}

    # One has expired meanwhile, and one place was lost.
    assert isinstance(alices, OpenedSocket)
    ContextRecord.objects.filter(id=alices.context.context_id).update(
        expires_at=datetime.now(UTC) + timedelta(hours=2)
    )
    assert close_abandoned_records(now=datetime.now(UTC) + timedelta(hours=3)) == 4
    ContextRecord.objects.exclude(id=alices.context.context_id).update(closed_at=None, close_reason="")
    assert release_quota(alices.lease)
    assert release_quotas([socket.lease for socket in sockets]) == 3
    assert release_quotas([socket.lease for socket in sockets]) == 0
    before = len(audited("context_closed"))
    for socket in sockets:
        assert get_context_manager().cleanup_context_sync(socket.context.context_id)
    assert ids(sockets) == recorded(closed_at__isnull=False)
    assert recorded(close_reason="expired") == ids([alices])
    # Who had expired is not said to be closed a second time.
    assert len(audited("context_closed")) == before + 3
    assert not QuotaReservation.objects.exists()
    assert not QuotaUsage.objects.exclude(reserved=0).exists()
    assert imbalances() == {}


def test_what_a_dead_process_held_makes_room_within_the_same_batch(users: list[User]) -> None:
    first, second = users[:2]
    for user in (first, second):
        for number in range(LIMIT):
            # One of the first's places is not renewed by anybody.
            lasting = timedelta(0) if (user, number) == (first, 0) else timedelta(minutes=1)
            reserve_quota(member_of(user), {PLACES: 1}, lasting, purpose="socket")
    outcomes = open_sockets(wanted(first, second, first))
    assert [type(outcome).__name__ for outcome in outcomes] == [
        "OpenedSocket",
        "QuotaExceededError",
        "QuotaExceededError",
    ]
    assert ids(opened(outcomes)) == recorded() == audited("context_opened")
    assert imbalances() == {}
    give_up_sockets(outcomes)


def test_batches_and_single_calls_grant_exactly_the_limit_and_never_wait_for_each_other(
    users: list[User],
) -> None:
    members = [member_of(user) for user in users]

    def race(seed: int) -> list[OpenedSocket | Reservation | str]:
        chance = random.Random(seed)
        if seed % 3:
            outcomes = open_sockets(wanted(*chance.choices(users, k=12)))
            return [each if isinstance(each, OpenedSocket) else type(each).__name__ for each in outcomes]
        taken: list[OpenedSocket | Reservation | str] = []
        for member in chance.sample(members, 4):
            try:
                taken.append(reserve_quota(member, {"concurrent_runs": 1, PLACES: 1}))
            except LimitError as refusal:
                taken.append(type(refusal).__name__)
        return taken

    taken = [each for several in at_once(race, range(18), threads=9) for each in several]
    assert {each for each in taken if isinstance(each, str)} == {"QuotaExceededError"}
    leases = [
        each.lease if isinstance(each, OpenedSocket) else each for each in taken if not isinstance(each, str)
    ]
    assert Counter(lease.user_id for lease in leases) == {user.id: LIMIT for user in users}
    assert imbalances() == {}
    sockets = [each for each in taken if isinstance(each, OpenedSocket)]
    assert ids(sockets) == recorded(closed_at=None) == audited("context_opened")

    def come_and_go(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(4):
            match chance.randrange(4):
                case 0:
                    give_up_sockets(open_sockets(wanted(*chance.choices(users, k=8))))
                case 1:
                    renew_quotas([lease.id for lease in leases])
                    expire_quotas(tenant_id=chance.choice(members).tenant_id)
                case 2:
                    release_quotas(chance.sample(leases, 9))
                case 3:
                    close_records([socket.context for socket in chance.sample(sockets, len(sockets) // 2)])
                    release_quota(chance.choice(leases))

    at_once(come_and_go, range(18), threads=9)
    assert imbalances() == {}
    at_once(lambda _: give_up_sockets(taken_sockets(taken)), range(3), threads=3)
    release_quotas(leases)
    assert not QuotaUsage.objects.exclude(reserved=0).exists()
    assert imbalances() == {}
    assert recorded(closed_at=None) == []
    assert audited("context_closed") == audited("context_opened")


def taken_sockets(taken: list[OpenedSocket | Reservation | str]) -> list[OpenedSocket | NetraError]:
    sockets: list[OpenedSocket | NetraError] = [each for each in taken if isinstance(each, OpenedSocket)]
    random.shuffle(sockets)
    return sockets


async def test_coroutines_leave_in_batches_and_a_silent_database_is_logged_once(
    users: list[User], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    statements: list[str] = []
    is_away = threading.Event()
    execute = CursorWrapper.execute

    def count(self: CursorWrapper, sql: str, params: object = None) -> object:
        if "netra_release_quotas" in sql or "netra_close_contexts" in sql:
            statements.append(sql)
            if is_away.is_set():
                raise OperationalError("the connection is lost")
        return execute(self, sql, params)

    monkeypatch.setattr(CursorWrapper, "execute", count)
    manager = get_context_manager()

    async def leave(socket: OpenedSocket) -> None:
        await release_place(socket.lease)
        assert await manager.cleanup_context(socket.context.context_id)

    async def leave_all() -> list[OpenedSocket]:
        sockets = opened(await call_in_thread(open_sockets, wanted(*users * 4)))
        assert len(sockets) == 20
        await asyncio.gather(*map(leave, sockets))
        return sockets

    sockets = await leave_all()
    # The first alone, then whoever came meanwhile.
    assert len(statements) <= 6
    assert await call_in_thread(recorded, close_reason="finished") == ids(sockets)
    assert await call_in_thread(audited, "context_closed") == ids(sockets)
    assert await call_in_thread(imbalances) == {}
    assert not await call_in_thread(QuotaReservation.objects.exists)

    is_away.set()
    failed_before = manager.metrics().failed_callbacks
    statements.clear()
    lost = await leave_all()
    assert len([each for each in caplog.records if each.levelname == "ERROR"]) == len(statements) <= 6
    assert all(str(socket.lease.id) in caplog.text for socket in lost)
    assert all(str(socket.context.context_id) in caplog.text for socket in lost)
    assert manager.metrics().failed_callbacks == failed_before
    is_away.clear()
    await call_in_thread(QuotaReservation.objects.update, expires_at=datetime.now(UTC) - timedelta(minutes=1))
    again = opened(await call_in_thread(open_sockets, wanted(*users * LIMIT)))
    assert len(again) == LIMIT * len(users)
    await call_in_thread(give_up_sockets, again)
    assert await call_in_thread(imbalances) == {}


async def test_a_socket_that_nobody_waits_for_any_more_is_given_up(users: list[User]) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def slowly(batch: list[WantedSocket]) -> list[OpenedSocket | NetraError]:
        outcomes = open_sockets(batch)
        begun.set()
        assert may_end.wait(30)
        return outcomes

    batcher = Batcher(slowly, size=8, take_back=give_up_sockets)  # type: ignore[arg-type]
    caller = asyncio.create_task(batcher(wanted(users[0])[0]))
    assert await asyncio.to_thread(begun.wait, 30)
    caller.cancel()
    may_end.set()
    await eventually(lambda: len(audited("context_closed")) == 1 and not QuotaReservation.objects.exists())
    assert await call_in_thread(recorded, closed_at=None) == []
    assert await call_in_thread(imbalances) == {}


def test_a_batch_that_fails_half_way_leaves_no_context_behind(
    users: list[User], monkeypatch: pytest.MonkeyPatch
) -> None:
    make = UserContextFactory.unrecorded_for_socket

    def fail_at_last(self: UserContextFactory, standing: object, **fields: object) -> object:
        if standing.user_id == users[1].id:  # type: ignore[attr-defined]
            raise RuntimeError("half way")
        return make(self, standing, **fields)  # type: ignore[arg-type]

    monkeypatch.setattr(UserContextFactory, "unrecorded_for_socket", fail_at_last)
    with pytest.raises(RuntimeError, match="half way"):
        open_sockets(wanted(users[0], users[1]))
    assert not QuotaReservation.objects.exists()
    assert recorded() == audited("context_opened") == []


def test_nobody_closes_contexts_in_the_scope_of_another_user(users: list[User]) -> None:
    (socket,) = opened(open_sockets(wanted(users[0])))
    stranger = member_of(users[2])
    with owner_scope(user_id=stranger.user_id, tenant_id=stranger.tenant_id):
        with pytest.raises(Exception, match="Another user"), transaction.atomic():
            close_record(socket.context)
        with pytest.raises(Exception, match="scope of one"), transaction.atomic():
            open_sockets(wanted(users[2]))
    other_tenant = member_of(users[1])
    with owner_scope(user_id=other_tenant.user_id, tenant_id=other_tenant.tenant_id):
        assert release_quotas([socket.lease]) == 0
    assert recorded(closed_at=None) == ids([socket])
    with owner_scope(user_id=socket.context.user_id, tenant_id=socket.context.tenant_id):
        assert release_quotas([socket.lease]) == 1
        assert get_context_manager().cleanup_context_sync(socket.context.context_id)
    assert recorded(closed_at=None) == []
