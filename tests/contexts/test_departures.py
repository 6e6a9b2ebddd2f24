"""Deleting a user frees what they had reserved and stored in their tenant's quotas."""

import pytest

from contexts.models import QuotaEntry, QuotaReservation, QuotaUsage, TenantQuotaUsage
from contexts.quotas import expire_quotas, reserve_quota, use_quota
from contexts.reconciliation import find_differences
from contexts.selectors import standing_of
from tests.factories import make_cast

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.mission_critical("P4")
def test_a_deleted_user_leaves_nothing_reserved_and_what_was_used():
    cast = make_cast()
    alice, bob = standing_of(cast.alice.id), standing_of(cast.bob.id)
    for member in (alice, bob):
        use_quota(member, {"storage_bytes": 100, "tokens": 30})
        reserve_quota(member, {"tokens": 7, "concurrent_runs": 1})
    cast.bob.delete()
    counters = {
        row.resource: (row.used, row.reserved) for row in TenantQuotaUsage.objects.filter(tenant=cast.acme)
    }
    assert counters == {"storage_bytes": (100, 0), "tokens": (60, 7), "concurrent_runs": (0, 1)}
    assert set(QuotaReservation.objects.values_list("user_id", flat=True)) == {cast.alice.id}
    assert set(QuotaUsage.objects.values_list("user_id", flat=True)) == {cast.alice.id}
    assert QuotaEntry.objects.filter(user_id=bob.user_id, kind="given_back").exists()
    assert expire_quotas() == 0
    assert find_differences() == []
