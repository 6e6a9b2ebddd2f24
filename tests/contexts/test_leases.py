"""Keeping reservations alive: renewed by whoever works with them, free again when nobody does."""

import logging
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from contexts import leases
from contexts.exceptions import UnavailableError
from contexts.identifiers import new_id
from contexts.leases import LeaseKeeper, get_lease_keeper
from contexts.models import AuditEntry, QuotaReservation
from contexts.quotas import expire_quotas, release_quota, renew_quotas, reserve_quota
from tests.contexts.quota_books import member_of
from tests.factories import make_cast

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.mission_critical("P4")]
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def member(transactional_db):
    return member_of(make_cast().alice)


@pytest.fixture
def keeper():
    keeper = LeaseKeeper(every=0.02)
    yield keeper
    for identifier in list(keeper._held):
        keeper.drop(identifier)
    wait_for(lambda: keeper._thread is None)


def wait_for(condition):
    give_up_at = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.01)


def expiry(reservation):
    return QuotaReservation.objects.get(id=reservation.id).expires_at


def soon():
    return datetime.now(UTC) + timedelta(seconds=20)


def test_what_is_held_is_renewed_and_what_is_dropped_is_not(member, keeper):
    held, dropped = [reserve_quota(member, {"concurrent_runs": 1}, timedelta(seconds=10)) for _ in range(2)]
    before = expiry(dropped)
    keeper.hold(held.id)
    wait_for(lambda: expiry(held) > soon())
    assert expiry(dropped) == before
    assert len(keeper) == 1
    assert keeper.drop(held.id)
    assert not keeper.drop(held.id)
    wait_for(lambda: keeper._thread is None)
    after = expiry(held)
    renew_quotas([dropped.id])
    assert expiry(held) == after


def test_whoever_has_lost_theirs_is_told_once(member, keeper):
    lost, kept = [reserve_quota(member, {"concurrent_runs": 1}) for _ in range(2)]
    told = []
    keeper.hold(kept.id, on_lost=lambda: told.append("kept"))
    keeper.hold(lost.id, on_lost=lambda: told.append("lost"))
    release_quota(lost)
    wait_for(lambda: told)
    keeper.renew()
    assert told == ["lost"]
    assert len(keeper) == 1


def test_what_has_expired_is_lost_and_not_revived(member, keeper):
    reservation = reserve_quota(member, {"concurrent_runs": 1})
    QuotaReservation.objects.update(expires_at=LONG_AGO)
    told = threading.Event()
    keeper.hold(reservation.id, on_lost=told.set)
    assert told.wait(30)
    assert expiry(reservation) == LONG_AGO
    assert expire_quotas() == 1


def test_the_thread_ends_when_nothing_is_held_and_comes_back(member, keeper):
    for _ in range(2):
        reservation = reserve_quota(member, {"concurrent_runs": 1}, timedelta(seconds=10))
        keeper.hold(reservation.id)
        thread = keeper._thread
        wait_for(lambda reservation=reservation: expiry(reservation) > soon())
        keeper.drop(reservation.id)
        thread.join(30)
        assert not thread.is_alive()


def test_a_database_that_does_not_answer_loses_nothing(member, keeper, monkeypatch, caplog):
    reservation = reserve_quota(member, {"concurrent_runs": 1}, timedelta(seconds=10))
    told, failures = [], []

    def fail_twice(ids):
        if len(failures) < 2:
            failures.append(ids)
            raise UnavailableError("The database does not answer now; try again in a moment.")
        return renew_quotas(ids)

    monkeypatch.setattr(leases, "renew_quotas", fail_twice)
    with caplog.at_level(logging.ERROR):
        keeper.hold(reservation.id, on_lost=lambda: told.append("lost"))
        wait_for(lambda: expiry(reservation) > soon())
    assert (len(failures), told) == (2, [])
    assert caplog.text.count("Reservations could not be renewed") == 2


def test_one_that_was_never_there_is_lost(keeper, transactional_db):
    told = threading.Event()
    keeper.hold(new_id(), on_lost=told.set)
    assert told.wait(30)
    wait_for(lambda: len(keeper) == 0)


def test_renewing_nothing_asks_no_database_and_rounds_that_change_nothing_are_not_audited(member):
    keeper = LeaseKeeper(every=60)
    before = AuditEntry.objects.count()
    keeper.renew()
    assert AuditEntry.objects.count() == before
    assert get_lease_keeper() is get_lease_keeper()
