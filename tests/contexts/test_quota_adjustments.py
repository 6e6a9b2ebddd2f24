"""Other limits for one tenant or member, and more for once: at once, and only as far as meant."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from contexts.exceptions import QuotaExceededError
from contexts.models import AppliesTo, QuotaGrant, QuotaOverride, Tenant, Tier, TierLimit
from contexts.quotas import extend_quota, limit_of, quotas_of, reserve_quota, use_quota
from contexts.windows import EPOCH
from tests.contexts.quota_books import imbalances, member_of
from tests.factories import make_tenant, make_user

NOW = datetime(2026, 3, 31, 23, 59, 59, tzinfo=UTC)
TODAY = datetime(2026, 3, 31, tzinfo=UTC)
pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant():
    return make_tenant("globex", "free")


@pytest.fixture
def carol(tenant):
    return member_of(make_user("carol", tenant))


@pytest.fixture
def dave(tenant):
    return member_of(make_user("dave", tenant))


def override(member, limit, **fields):
    values = {"tenant_id": member.tenant_id, "resource": "agent_runs", "reason": "a test", "limit": limit}
    return QuotaOverride.objects.create(**{**values, **fields})


def grant(member, amount, **fields):
    values = {
        "tenant_id": member.tenant_id,
        "resource": "agent_runs",
        "reason": "a test",
        "amount": amount,
        "window_start": TODAY,
    }
    return QuotaGrant.objects.create(**{**values, **fields})


def runs(member, now=NOW):
    return quotas_of(member, resources=["agent_runs"], now=now)["agent_runs"].limit


def test_an_override_stands_in_for_the_tiers_limit(carol, dave):
    other = member_of(make_user("erin", make_tenant("initech", "free")))
    override(carol, 3)
    assert (runs(carol), runs(dave), runs(other)) == (3, 3, 10)
    use_quota(carol, {"agent_runs": 3}, now=NOW)
    with pytest.raises(QuotaExceededError) as refusal:
        use_quota(carol, {"agent_runs": 1}, now=NOW)
    assert refusal.value.limit == 3


def test_a_members_own_override_comes_before_the_newest(carol, dave):
    override(carol, 7, user_id=carol.user_id, created_at=NOW - timedelta(days=9))
    override(carol, 3, created_at=NOW - timedelta(days=2))
    override(carol, 4, created_at=NOW - timedelta(days=1))
    assert (runs(carol), runs(dave)) == (7, 4)


def test_an_override_ends_on_time(carol):
    override(carol, 3, expires_at=NOW + timedelta(seconds=1))
    assert (runs(carol), runs(carol, NOW + timedelta(seconds=1))) == (3, 10)


def test_an_override_may_allow_nothing(carol):
    override(carol, 0)
    with pytest.raises(QuotaExceededError):
        use_quota(carol, {"agent_runs": 1}, now=NOW)


def test_a_grant_adds_to_the_limit_of_its_window_alone(carol, dave):
    grant(carol, 5, user_id=carol.user_id)
    grant(carol, 2)
    assert (runs(carol), runs(dave), runs(carol, NOW + timedelta(seconds=1))) == (17, 12, 10)
    override(carol, 1)
    assert (runs(carol), runs(dave)) == (8, 3)


def test_a_grant_ends_on_time_and_keeps_to_its_resource(carol):
    grant(carol, 5, expires_at=NOW)
    grant(carol, 5, resource="storage_bytes", window_start=EPOCH)
    assert runs(carol) == 10
    assert limit_of(carol, "storage_bytes") == 50_000_005


def test_ceilings_of_a_tenant_are_adjusted_apart(carol, dave):
    override(carol, 12, applies_to=AppliesTo.TENANT)
    use_quota(carol, {"agent_runs": 10}, now=NOW)
    use_quota(dave, {"agent_runs": 2}, now=NOW)
    with pytest.raises(QuotaExceededError) as refusal:
        use_quota(dave, {"agent_runs": 1}, now=NOW)
    assert (refusal.value.limit, refusal.value.used) == (12, 12)
    grant(carol, 1, applies_to=AppliesTo.TENANT)
    use_quota(dave, {"agent_runs": 1}, now=NOW)
    assert runs(carol) == 10
    assert imbalances() == {}


@pytest.mark.mission_critical("P7")
def test_another_tier_holds_at_once_also_for_what_is_reserved_already(carol, tenant):
    reservation = reserve_quota(carol, {"tokens": 50_000}, now=NOW)
    with pytest.raises(QuotaExceededError):
        extend_quota(reservation, {"tokens": 1}, now=NOW)
    Tenant.objects.filter(id=tenant.id).update(tier=Tier.objects.get(slug="early"))
    assert extend_quota(reservation, {"tokens": 1}, now=NOW)
    Tenant.objects.filter(id=tenant.id).update(tier=Tier.objects.get(slug="free"))
    with pytest.raises(QuotaExceededError) as refusal:
        extend_quota(reservation, {"tokens": 1}, now=NOW)
    assert (refusal.value.limit, refusal.value.reserved, refusal.value.remaining) == (50_000, 50_001, 0)


def test_a_changed_limit_holds_at_once(carol):
    TierLimit.objects.filter(tier__slug="free", resource="cost_usd").update(limit=Decimal("0.25"))
    use_quota(carol, {"cost_usd": Decimal("0.25")}, now=NOW)
    with pytest.raises(QuotaExceededError):
        use_quota(carol, {"cost_usd": Decimal("0.000001")}, now=NOW)


@pytest.mark.parametrize(
    "fields",
    [
        {"limit": Decimal(-1)},
        {"limit": Decimal("NaN")},
        {"resource": "gold"},
        {"reason": ""},
        {"applies_to": "all"},
    ],
)
def test_the_database_keeps_out_impossible_overrides(carol, fields):
    with pytest.raises((IntegrityError, ValueError, ValidationError)), transaction.atomic():
        override(carol, **{"limit": 1, **fields})
    assert not QuotaOverride.objects.exists()


def test_one_member_has_no_limit_for_all(carol):
    with pytest.raises(IntegrityError), transaction.atomic():
        override(carol, 1, user_id=carol.user_id, applies_to=AppliesTo.TENANT)
    with pytest.raises(ValidationError, match="One member has no limit"):
        QuotaGrant(user_id=carol.user_id, applies_to=AppliesTo.TENANT, resource="tokens", amount=1).clean()
    with pytest.raises(ValidationError, match="whole numbers"):
        QuotaOverride(resource="tokens", limit=Decimal("0.5")).clean()
