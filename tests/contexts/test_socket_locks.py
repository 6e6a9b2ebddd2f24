"""The order in which many sockets are locked at once: the one in which single calls lock, too."""

import threading
import time
from collections.abc import Callable

import pytest
from django.db import connection, transaction

from contexts.exceptions import NetraError
from contexts.identifiers import new_id
from contexts.models import ContextRecord, QuotaUsage, User
from contexts.quotas import release_quota, reserve_quota
from contexts.records import close_records
from contexts.sockets import OpenedSocket, WantedSocket, give_up_sockets, open_sockets
from tests.contexts.quota_books import Member, at_once, imbalances, member_of
from tests.contexts.socket_batches import ids, opened, wanted
from tests.factories import make_tenant, make_user

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.mission_critical("P4")]
PLACES = "websocket_connections"


@pytest.fixture
def users(transactional_db: None) -> list[User]:
    """Return two users of one tenant; nobody has a counter yet."""
    acme = make_tenant("acme")
    return [make_user(f"user{number}", acme) for number in range(2)]


def wait_for(condition: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.01)


def waiting_for_locks() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
            "AND datname = current_database()"
        )
        return int(cursor.fetchone()[0])


def test_a_counter_that_another_makes_meanwhile_is_locked_before_those_after_it(users: list[User]) -> None:
    # As PostgreSQL orders them, and both of one tenant.
    first, last = sorted((member_of(users[0]), member_of(users[1])), key=lambda member: member.user_id)
    release_quota(reserve_quota(last, {PLACES: 1}))
    made, may_commit, locked, may_end = [threading.Event() for _ in range(4)]

    def make_counter() -> None:
        with transaction.atomic():
            reserve_quota(first, {PLACES: 1})
            made.set()
            assert may_commit.wait(30)

    def hold_last() -> None:
        with transaction.atomic():
            QuotaUsage.objects.select_for_update(of=("self",)).get(user_id=last.user_id, resource=PLACES)
            locked.set()
            assert may_end.wait(30)

    outcomes: list[OpenedSocket | NetraError] = []

    def open_both() -> None:
        assert made.wait(30)
        assert locked.wait(30)
        batch = [WantedSocket(user_id=member.user_id, connection_id=new_id()) for member in (last, first)]
        outcomes.extend(open_sockets(batch))

    def steer() -> None:
        try:
            wait_for(lambda: waiting_for_locks() == 1)  # the batch, for the counter that is being made
            may_commit.set()
            wait_for(lambda: is_locked(first))  # the batch has it, and waits for the last
        finally:
            may_commit.set()
            may_end.set()

    at_once(lambda step: step(), [make_counter, hold_last, open_both, steer], threads=4)
    assert len(opened(outcomes)) == 2
    assert imbalances() == {}
    give_up_sockets(outcomes)


def is_locked(member: Member) -> bool:
    """Tell whether a member's counter is locked, by whoever is the only one to wait for another lock."""
    free = QuotaUsage.objects.select_for_update(of=("self",), skip_locked=True)
    with transaction.atomic():
        return waiting_for_locks() == 1 and not free.filter(user_id=member.user_id).exists()


def test_records_are_locked_in_the_order_of_their_ids(users: list[User]) -> None:
    sockets = opened(open_sockets(wanted(*users * 4)))
    lowest, *others = ids(sockets)
    may_end = threading.Event()

    def hold_lowest() -> None:
        with transaction.atomic():
            ContextRecord.objects.select_for_update(of=("self",)).get(id=lowest)
            assert may_end.wait(30)

    def look() -> list[str]:
        try:
            wait_for(lambda: waiting_for_locks() == 1)
            with transaction.atomic():
                free = ContextRecord.objects.select_for_update(of=("self",), skip_locked=True)
                return sorted(map(str, free.values_list("id", flat=True)))
        finally:
            may_end.set()

    def close() -> None:
        wait_for(lambda: lowest_is_held(lowest) or may_end.is_set())
        close_records([socket.context for socket in sockets])

    assert at_once(lambda step: step(), [hold_lowest, close, look], threads=3)[-1] == others
    give_up_sockets(list(sockets))


def lowest_is_held(lowest: str) -> bool:
    with transaction.atomic():
        return not ContextRecord.objects.select_for_update(skip_locked=True).filter(id=lowest).exists()
