from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection

from contexts.exceptions import QuotaExceededError, RateLimitedError
from contexts.factory import UserContextFactory, managed_user_context
from contexts.models import QuotaUsage, TierLimit
from contexts.quotas import Reservation, quotas_of, release_quota, reserve_quota, settle_quota, use_quota
from contexts.windows import window_end, window_start
from tests.factories import make_cast

NOW = datetime(2026, 3, 31, 23, 59, 59, tzinfo=UTC)


@pytest.fixture
def carol(db):
    user = make_cast().carol
    with managed_user_context(UserContextFactory().for_request(user.id)) as context:
        yield context


def usage(context, resource):
    return QuotaUsage.objects.get(user_id=context.user_id, resource=resource)


def test_a_reservation_is_settled_with_what_was_used(carol):
    reservation = reserve_quota(carol, {"agent_runs": 1, "tokens": 1_000}, now=NOW)
    assert usage(carol, "tokens").reserved == 1_000
    settle_quota(reservation, {"agent_runs": 1, "tokens": 250})
    assert (usage(carol, "tokens").used, usage(carol, "tokens").reserved) == (250, 0)
    assert (usage(carol, "agent_runs").used, usage(carol, "agent_runs").reserved) == (1, 0)


def test_a_released_reservation_leaves_nothing(carol):
    release_quota(reserve_quota(carol, {"agent_runs": 10}, now=NOW))
    reserve_quota(carol, {"agent_runs": 10}, now=NOW)
    assert usage(carol, "agent_runs").reserved == 10


@pytest.mark.mission_critical("P4")
def test_all_of_a_call_is_reserved_or_nothing(carol):
    with pytest.raises(QuotaExceededError) as refusal:
        reserve_quota(carol, {"agent_runs": 1, "tokens": 50_001}, now=NOW)
    assert refusal.value.resource == "tokens"
    assert refusal.value.limit == 50_000
    assert refusal.value.resets_at == datetime(2026, 4, 1, tzinfo=UTC)
    assert not QuotaUsage.objects.filter(user_id=carol.user_id).exists()


def test_minutes_are_rate_limits(carol):
    for _ in range(30):
        use_quota(carol, {"messages": 1}, now=NOW)
    with pytest.raises(RateLimitedError):
        use_quota(carol, {"messages": 1}, now=NOW)
    use_quota(carol, {"messages": 1}, now=NOW + timedelta(seconds=1))


@pytest.mark.parametrize("amount", [-1, Decimal("NaN"), Decimal("Infinity")])
def test_impossible_amounts_are_refused(carol, amount):
    with pytest.raises(ValueError, match="cannot be reserved"):
        reserve_quota(carol, {"tokens": amount}, now=NOW)


@pytest.mark.mission_critical("P4")
def test_a_missing_limit_allows_nothing(carol):
    TierLimit.objects.filter(tier__slug="free", resource="agent_runs").delete()
    with pytest.raises(QuotaExceededError):
        reserve_quota(carol, {"agent_runs": 1}, now=NOW)


def test_quotas_tell_where_a_user_stands(carol):
    reserve_quota(carol, {"agent_runs": 3}, now=NOW)
    standing = {result.resource: result for result in quotas_of(carol, now=NOW)}
    assert standing["agent_runs"].remaining == 7
    assert standing["agent_runs"].resets_at == datetime(2026, 4, 1, tzinfo=UTC)
    assert standing["agent_runs"].soft_limit == 8
    assert standing["storage_bytes"].resets_at is None


def test_a_reservation_survives_being_stored(carol):
    reservation = reserve_quota(carol, {"cost_usd": Decimal("0.125")}, now=NOW)
    again = Reservation.from_json(reservation.to_json(), user_id=carol.user_id, tenant_id=carol.tenant_id)
    assert again == reservation


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


@pytest.mark.mission_critical("P4")
@pytest.mark.django_db(transaction=True)
def test_parallel_reservations_never_pass_the_limit():
    user = make_cast().carol
    with managed_user_context(UserContextFactory().for_request(user.id)) as context:

        def reserve(_):
            try:
                reserve_quota(context, {"agent_runs": 1}, now=NOW)
            except QuotaExceededError:
                return 0
            finally:
                connection.close()
            return 1

        with ThreadPoolExecutor(8) as pool:
            granted = sum(pool.map(reserve, range(60)))
    assert granted == 10
    assert usage(context, "agent_runs").reserved == 10
