"""Reserving, extending, drawing, settling and releasing, one call after the other."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib import import_module

import pytest
from django.db import IntegrityError, connection, transaction

from contexts.exceptions import QuotaExceededError, RateLimitedError
from contexts.factory import UserContextFactory, managed_user_context
from contexts.models import (
    EntryKind,
    QuotaEntry,
    QuotaReservation,
    QuotaUsage,
    Tenant,
    TenantQuotaUsage,
    TierLimit,
)
from contexts.quota_statements import Reservation
from contexts.quotas import (
    draw_quota,
    expire_quotas,
    extend_quota,
    give_back_quota,
    limit_of,
    quotas_of,
    release_quota,
    renew_quotas,
    reserve_quota,
    settle_quota,
    use_quota,
)
from contexts.resources import RULES, Resource
from contexts.windows import EPOCH, window_end, window_start
from tests.contexts.quota_books import imbalances
from tests.factories import make_cast, make_tenant, make_user

NOW = datetime(2026, 3, 31, 23, 59, 59, tzinfo=UTC)


@pytest.fixture(autouse=True)
def the_books_balance(db):
    """Check them after every test."""
    yield
    assert imbalances() == {}


@pytest.fixture
def carol(db):
    user = make_cast().carol
    with managed_user_context(UserContextFactory().for_request(user.id)) as context:
        yield context


def usage(context, resource):
    return QuotaUsage.objects.get(user_id=context.user_id, resource=resource)


def counted(context, resource):
    """Return (used, reserved) of the one window there is."""
    row = usage(context, resource)
    return row.used, row.reserved


def test_a_reservation_is_settled_with_what_was_used(carol):
    reservation = reserve_quota(carol, {"agent_runs": 1, "tokens": 1_000}, now=NOW)
    assert counted(carol, "tokens") == (0, 1_000)
    assert settle_quota(reservation, {"agent_runs": 1, "tokens": 250}, now=NOW)
    assert counted(carol, "tokens") == (250, 0)
    assert counted(carol, "agent_runs") == (1, 0)
    assert TenantQuotaUsage.objects.get(tenant_id=carol.tenant_id, resource="tokens").used == 250


def test_a_reservation_ends_once(carol):
    reservation = reserve_quota(carol, {"agent_runs": 1}, now=NOW)
    assert settle_quota(reservation, {"agent_runs": 1})
    assert not settle_quota(reservation, {"agent_runs": 1})
    assert not release_quota(reservation)
    assert not draw_quota(reservation, {"agent_runs": 1})
    assert not extend_quota(reservation, {"agent_runs": 1})
    assert counted(carol, "agent_runs") == (1, 0)
    assert renew_quotas([reservation.id]) == set()


def test_a_released_reservation_leaves_nothing(carol):
    assert release_quota(reserve_quota(carol, {"agent_runs": 10}, now=NOW))
    reserve_quota(carol, {"agent_runs": 10}, now=NOW)
    assert counted(carol, "agent_runs") == (0, 10)


@pytest.mark.mission_critical("P4")
def test_all_of_a_call_is_reserved_or_nothing(carol):
    with pytest.raises(QuotaExceededError) as refusal:
        reserve_quota(carol, {"agent_runs": 1, "tokens": 50_001}, now=NOW)
    assert (refusal.value.resource, refusal.value.limit) == ("tokens", 50_000)
    assert refusal.value.resets_at == datetime(2026, 4, 1, tzinfo=UTC)
    assert not QuotaUsage.objects.exclude(used=0, reserved=0).exists()
    assert not TenantQuotaUsage.objects.exclude(used=0, reserved=0).exists()
    assert not QuotaReservation.objects.exists()
    assert not QuotaEntry.objects.exists()


def test_a_refusal_tells_where_the_user_stands(carol):
    use_quota(carol, {"tokens": 100}, now=NOW)
    reserve_quota(carol, {"tokens": 49_000}, now=NOW)
    with pytest.raises(
        QuotaExceededError, match="Of 50,000 tokens a day only 900 tokens are left"
    ) as refusal:
        reserve_quota(carol, {"tokens": 901}, now=NOW)
    assert (refusal.value.used, refusal.value.reserved, refusal.value.remaining) == (100, 49_000, 900)


def test_minutes_are_rate_limits(carol):
    for _ in range(30):
        use_quota(carol, {"messages": 1}, now=NOW)
    with pytest.raises(RateLimitedError):
        use_quota(carol, {"messages": 1}, now=NOW)
    use_quota(carol, {"messages": 1}, now=NOW + timedelta(seconds=1))


def test_what_was_used_counts_beyond_what_was_reserved(carol):
    reservation = reserve_quota(carol, {"tokens": 100}, now=NOW)
    assert draw_quota(reservation, {"tokens": 60_000, "cost_usd": Decimal("0.5")}, now=NOW)
    assert counted(carol, "tokens") == (60_000, 0)
    assert counted(carol, "cost_usd") == (Decimal("0.5"), 0)
    with pytest.raises(QuotaExceededError):
        extend_quota(reservation, {"tokens": 1}, now=NOW)
    assert release_quota(reservation)
    assert counted(carol, "tokens") == (60_000, 0)


def test_what_is_drawn_leaves_the_rest_reserved(carol):
    reservation = reserve_quota(carol, {"tokens": 100, "agent_runs": 1}, now=NOW)
    assert draw_quota(reservation, {"tokens": 30}, now=NOW)
    assert counted(carol, "tokens") == (30, 70)
    assert extend_quota(reservation, {"tokens": 5}, now=NOW)
    assert counted(carol, "tokens") == (30, 75)
    assert counted(carol, "agent_runs") == (0, 1)
    assert settle_quota(reservation, {"tokens": 1}, now=NOW)
    assert counted(carol, "tokens") == (31, 0)
    kinds = QuotaEntry.objects.filter(resource="tokens").order_by("id").values_list("kind", flat=True)
    assert list(kinds) == [EntryKind.RESERVED, EntryKind.DRAWN, EntryKind.RESERVED, EntryKind.SETTLED]


def test_a_reservation_that_lasts_over_the_windows_edge_counts_in_both(carol):
    reservation = reserve_quota(carol, {"tokens": 40_000}, now=NOW)
    later = NOW + timedelta(seconds=2)
    assert extend_quota(reservation, {"tokens": 50_000}, now=later)
    assert draw_quota(reservation, {"tokens": 10}, now=later)
    rows = QuotaUsage.objects.filter(resource="tokens").order_by("window_start")
    assert [(row.used, row.reserved) for row in rows] == [(0, 40_000), (10, 49_990)]
    assert release_quota(reservation)
    assert [(row.used, row.reserved) for row in rows.all()] == [(0, 0), (10, 0)]


@pytest.mark.mission_critical("P4")
def test_an_abandoned_reservation_is_refunded_when_the_room_is_needed(carol):
    abandoned = reserve_quota(carol, {"agent_runs": 10}, timedelta(seconds=5), now=NOW)
    with pytest.raises(QuotaExceededError):
        reserve_quota(carol, {"agent_runs": 1}, now=NOW + timedelta(seconds=0.5))
    # as if it had been reserved in this window
    QuotaReservation.objects.update(expires_at=NOW)
    reserve_quota(carol, {"agent_runs": 10}, now=NOW)
    assert not QuotaReservation.objects.filter(id=abandoned.id).exists()
    assert counted(carol, "agent_runs") == (0, 10)
    assert QuotaEntry.objects.filter(kind="expired", reservation_id=abandoned.id).count() == 1


def test_only_what_has_expired_is_refunded_and_only_what_has_not_is_renewed(carol):
    short = reserve_quota(carol, {"agent_runs": 1}, timedelta(seconds=10), now=NOW)
    long = reserve_quota(carol, {"agent_runs": 2}, timedelta(seconds=20), now=NOW)
    later = NOW + timedelta(seconds=10)
    assert renew_quotas([short.id, long.id], ttl=timedelta(seconds=30), now=later) == {long.id}
    assert expire_quotas(now=later) == 1
    assert expire_quotas(now=NOW + timedelta(seconds=39)) == 0
    assert counted(carol, "agent_runs") == (0, 2)
    assert expire_quotas(tenant_id=carol.tenant_id, now=NOW + timedelta(seconds=40)) == 1
    assert counted(carol, "agent_runs") == (0, 0)


def test_no_more_is_given_back_than_was_used(carol):
    use_quota(carol, {"storage_bytes": 1_000}, now=NOW)
    stored = {"user_id": carol.user_id, "tenant_id": carol.tenant_id, "resource": "storage_bytes"}
    assert give_back_quota(**stored, amount=400, window_start=EPOCH) == 400
    assert give_back_quota(**stored, amount=4_000, window_start=EPOCH) == 600
    assert give_back_quota(**stored, amount=4_000, window_start=EPOCH) == 0
    assert counted(carol, "storage_bytes") == (0, 0)


def test_the_same_reservation_is_not_made_twice(carol):
    reservation = reserve_quota(carol, {"agent_runs": 1}, now=NOW)
    with pytest.raises(IntegrityError), transaction.atomic():
        reserve_quota(carol, {"agent_runs": 1}, reservation_id=reservation.id, now=NOW)
    assert counted(carol, "agent_runs") == (0, 1)


def test_a_reservation_goes_with_the_transaction_that_made_it(carol):
    with transaction.atomic():
        reserve_quota(carol, {"agent_runs": 1}, now=NOW)
        transaction.set_rollback(True)
    assert not QuotaReservation.objects.exists()
    assert not QuotaUsage.objects.exists()


def test_another_tenants_reservation_is_none(carol):
    reservation = reserve_quota(carol, {"agent_runs": 1}, now=NOW)
    mistaken = Reservation(id=reservation.id, tenant_id=make_tenant("initech").id, user_id=carol.user_id)
    assert not settle_quota(mistaken, {"agent_runs": 1})
    assert not extend_quota(mistaken, {"agent_runs": 1})
    assert counted(carol, "agent_runs") == (0, 1)


@pytest.mark.mission_critical("P4")
@pytest.mark.parametrize("resource", RULES)
def test_a_missing_limit_is_the_free_tiers(carol, resource):
    TierLimit.objects.filter(resource=resource).delete()
    fallback = RULES[resource].fallback
    assert limit_of(carol, resource) == fallback
    with pytest.raises((QuotaExceededError, RateLimitedError)):
        reserve_quota(carol, {resource: fallback + 1}, now=NOW)
    reserve_quota(carol, {resource: fallback}, now=NOW)
    with pytest.raises((QuotaExceededError, RateLimitedError)):
        use_quota(carol, {resource: 1}, now=NOW)


def test_the_database_knows_the_same_rules():
    tiers = import_module("contexts.migrations.0002_default_tiers").LIMITS
    assert set(RULES) == set(Resource.values) == set(tiers)
    with connection.cursor() as cursor:
        for resource, rule in RULES.items():
            cursor.execute("SELECT netra_counts_per(%s), netra_fallback_limit(%s)", [resource, resource])
            assert cursor.fetchone() == (rule.window, rule.fallback)
            assert (rule.window, rule.fallback) == (tiers[resource][0], tiers[resource][1][0])
        cursor.execute("SELECT netra_counts_per('gold'), netra_fallback_limit('gold')")
        assert cursor.fetchone() == (None, None)


def test_quotas_tell_where_a_user_stands(carol):
    reserve_quota(carol, {"agent_runs": 3}, now=NOW)
    standing = quotas_of(carol, now=NOW)
    assert list(standing) == list(RULES)
    assert standing["agent_runs"].remaining == 7
    assert standing["agent_runs"].resets_at == datetime(2026, 4, 1, tzinfo=UTC)
    assert standing["agent_runs"].soft_limit == 8
    assert standing["agent_runs"].left_for_all is None
    assert standing["storage_bytes"].resets_at is None


def test_a_ceiling_for_the_tenant_is_shared(carol):
    TierLimit.objects.filter(tier__slug="free", resource="agent_runs").update(tenant_limit=12)
    dave = make_user("dave", Tenant.objects.get(id=carol.tenant_id))
    with managed_user_context(UserContextFactory().for_request(dave.id)) as other:
        reserve_quota(other, {"agent_runs": 8}, now=NOW)
        standing = quotas_of(carol, resources=["agent_runs"], now=NOW)["agent_runs"]
        assert (standing.limit, standing.left_for_all, standing.remaining) == (10, 4, 4)
        with pytest.raises(
            QuotaExceededError, match="Of 12 runs a day in your organisation only 4 runs are left"
        ) as refusal:
            reserve_quota(carol, {"agent_runs": 5, "tokens": 1}, now=NOW)
        assert (refusal.value.limit, refusal.value.reserved, refusal.value.remaining) == (12, 8, 4)
        reserve_quota(carol, {"agent_runs": 4}, now=NOW)
        with pytest.raises(QuotaExceededError):
            reserve_quota(other, {"agent_runs": 1}, now=NOW)


@pytest.mark.parametrize(
    ("window", "start", "end"),
    [
        ("minute", datetime(2026, 3, 31, 23, 59, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)),
        ("day", datetime(2026, 3, 31, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)),
        ("month", datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)),
        ("total", datetime(1970, 1, 1, tzinfo=UTC), None),
    ],
)
def test_windows(window, start, end):
    assert window_start(window, now=NOW) == start
    assert window_end(window, now=NOW) == end


@pytest.mark.parametrize(
    ("resource", "amount", "words"),
    [
        ("agent_runs", 10, "10 runs"),
        ("tokens", 50_000, "50,000 tokens"),
        ("cost_usd", Decimal("1.5"), "$1.50 of model costs"),
        ("cpu_seconds", Decimal("0.25"), "0.25 CPU seconds"),
        ("storage_bytes", 50_000_000, "50 MB of storage"),
        ("storage_bytes", 900, "900 bytes of storage"),
        ("memory_bytes", 2**28, "268.4 MB of memory"),
    ],
)
def test_amounts_are_told_in_the_words_of_their_resource(resource, amount, words):
    assert RULES[resource].describe(Decimal(amount)) == words
