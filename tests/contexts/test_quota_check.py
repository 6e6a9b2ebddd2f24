"""Quota asked for through the manager: set aside while the context is open, or refused."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection

from contexts.database import call_in_thread
from contexts.exceptions import ContextClosedError, InvalidRequestError, QuarantinedError
from contexts.factory import UserContextFactory
from contexts.identifiers import new_id
from contexts.leases import get_lease_keeper
from contexts.manager import UserContextManager
from contexts.models import AuditEntry, QuotaReservation, QuotaUsage, Tier
from tests.factories import make_cast

pytestmark = pytest.mark.django_db(transaction=True)
NOW = datetime(2026, 3, 31, 23, 59, 59, tzinfo=UTC)


@pytest.fixture
def manager():
    return UserContextManager()


@pytest.fixture
def carol(transactional_db, manager):
    """A member on the free tier: 50,000 tokens and 10 runs a day."""
    return UserContextFactory(manager).for_request(make_cast().carol.id)


def reserved(context):
    rows = QuotaUsage.objects.filter(user_id=context.user_id).values_list("resource", "reserved", "used")
    return {resource: amount for resource, amount, used in rows if amount or used}


def test_what_is_allowed_is_set_aside_until_the_context_closes(manager, carol):
    result = manager.enforce_quotas(carol.context_id, {"tokens": 40_000, "agent_runs": 1}, now=NOW)
    assert (result.allowed, result.resource) == (True, "tokens")  # a fifth is left, of runs nine tenths
    assert (result.limit, result.reserved, result.remaining) == (50_000, 40_000, 10_000)
    assert result.resets_at == datetime(2026, 4, 1, tzinfo=UTC)
    assert reserved(carol) == {"tokens": 40_000, "agent_runs": 1}
    manager.cleanup_context_sync(carol.context_id)
    assert reserved(carol) == {}
    assert manager.metrics().failed_callbacks == 0


@pytest.mark.mission_critical("P4")
def test_what_is_refused_says_why_and_sets_nothing_aside(manager, carol):
    manager.enforce_quotas(carol.context_id, {"tokens": 40_000}, now=NOW)
    result = manager.enforce_quotas(carol.context_id, {"agent_runs": 1, "tokens": 10_001}, now=NOW)
    assert (result.allowed, result.resource, result.window) == (False, "tokens", "day")
    assert (result.limit, result.used, result.reserved) == (50_000, 0, 40_000)
    assert result.resets_at == datetime(2026, 4, 1, tzinfo=UTC)
    assert reserved(carol) == {"tokens": 40_000}
    entry = AuditEntry.objects.get(action="quota_refused")
    assert (entry.user_id, entry.details["resource"]) == (carol.user_id, "tokens")
    assert manager.enforce_quotas(carol.context_id, {"tokens": 10_000}, now=NOW).allowed
    manager.cleanup_context_sync(carol.context_id)
    assert reserved(carol) == {}


async def test_a_context_closed_by_a_coroutine_gives_back_too(manager):
    def open_and_reserve():
        context = UserContextFactory(manager).for_request(make_cast().carol.id)
        manager.enforce_quotas(context.context_id, {"tokens": 5}, now=NOW)
        return context, reserved(context)

    context, before = await call_in_thread(open_and_reserve)
    assert before == {"tokens": 5}
    assert await manager.cleanup_context(context.context_id)
    assert await call_in_thread(reserved, context) == {}
    assert manager.metrics().failed_callbacks == 0


def test_a_quarantined_context_gets_nothing_but_gives_back(manager, carol):
    manager.enforce_quotas(carol.context_id, {"tokens": 5}, now=NOW)
    manager.quarantine(carol.context_id, "a test")
    with pytest.raises(QuarantinedError):
        manager.enforce_quotas(carol.context_id, {"tokens": 5}, now=NOW)
    manager.cleanup_context_sync(carol.context_id)
    assert reserved(carol) == {}


def test_a_closed_or_unknown_context_gets_nothing(manager, carol):
    manager.cleanup_context_sync(carol.context_id)
    for context_id in (carol.context_id, new_id()):
        with pytest.raises(ContextClosedError):
            manager.enforce_quotas(context_id, {"tokens": 5}, now=NOW)
    assert reserved(carol) == {}


def test_a_context_that_closes_meanwhile_keeps_nothing(manager, carol, monkeypatch):
    def close_first(context, callback):
        manager.cleanup_context_sync(context.context_id)
        UserContextManager.on_close(manager, context, callback)

    monkeypatch.setattr(manager, "on_close", close_first)
    with pytest.raises(ContextClosedError):
        manager.enforce_quotas(carol.context_id, {"tokens": 5}, now=NOW)
    assert reserved(carol) == {}


@pytest.mark.mission_critical("P9")
@pytest.mark.parametrize(
    "resources",
    [{}, {"gold": 1}, {"tokens": -1}, {"tokens": "many"}, {"tokens": None}, {"tokens": Decimal("NaN")}],
)
def test_what_cannot_be_asked_for_is_refused_and_changes_nothing(manager, carol, resources):
    with pytest.raises(InvalidRequestError):
        manager.enforce_quotas(carol.context_id, resources, now=NOW)
    assert reserved(carol) == {}


def test_a_tier_without_a_limit_allows_what_the_free_tier_does(manager, carol):
    Tier.objects.get(slug="free").limits.filter(resource="tokens").delete()
    result = manager.enforce_quotas(carol.context_id, {"tokens": 50_001}, now=NOW)
    assert (result.allowed, result.limit) == (False, 50_000)
    assert manager.enforce_quotas(carol.context_id, {"tokens": 50_000}, now=NOW).allowed


def test_what_is_set_aside_lasts_as_long_as_the_context(manager, carol):
    manager.enforce_quotas(carol.context_id, {"tokens": 5})
    reservation = QuotaReservation.objects.get()
    assert reservation.purpose == "context"
    keeper = get_lease_keeper()
    QuotaReservation.objects.update(expires_at=datetime.now(UTC) + timedelta(seconds=1))
    keeper.renew()
    reservation.refresh_from_db()
    assert reservation.expires_at > datetime.now(UTC) + timedelta(seconds=30)
    manager.cleanup_context_sync(carol.context_id)
    assert not QuotaReservation.objects.exists()
    assert not keeper.drop(reservation.id)


@pytest.mark.mission_critical("P4")
def test_parallel_requests_never_pass_the_limit(manager, carol):
    def ask(_):
        try:
            return manager.enforce_quotas(carol.context_id, {"agent_runs": 3}, now=NOW).allowed
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(ask, range(6)))
    assert answers.count(True) == 3
    assert reserved(carol) == {"agent_runs": 9}
