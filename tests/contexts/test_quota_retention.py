"""Old counters go together with their ledger; what is left still adds up."""

import threading
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction

from contexts import quota_retention
from contexts.models import AuditEntry, QuotaEntry, QuotaUsage, TenantQuotaUsage
from contexts.quota_retention import PrunedQuotas, prune_quotas
from contexts.quotas import expire_quotas, reserve_quota, settle_quota, use_quota
from contexts.reconciliation import find_differences
from contexts.scope import system_scope
from contexts.selectors import Standing, standing_of
from tests.contexts.quota_books import imbalances
from tests.factories import Cast, make_cast

pytestmark = pytest.mark.django_db(transaction=True)
NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
DAY = timedelta(days=1)
NOTHING = PrunedQuotas()


@pytest.fixture
def cast(transactional_db: None) -> Cast:
    return make_cast()


@pytest.fixture
def bob(cast: Cast) -> Standing:
    return standing_of(cast.bob.id)


def left() -> list[tuple[str, datetime]]:
    """Return what there are counters of, the tenants' and ledger's being the same."""
    found = sorted(set(QuotaUsage.objects.values_list("resource", "window_start")))
    assert found == sorted(set(TenantQuotaUsage.objects.values_list("resource", "window_start")))
    assert found == sorted(set(QuotaEntry.objects.values_list("resource", "window_start")))
    assert imbalances() == {}
    assert find_differences() == []
    return found


@pytest.mark.parametrize(
    ("resource", "kept"), [("messages", DAY), ("agent_runs", 400 * DAY), ("tokens", 400 * DAY)]
)
def test_a_window_goes_when_it_is_old_enough(bob: Standing, resource: str, kept: timedelta):
    young = NOW - kept + timedelta(minutes=1)
    for at in (NOW - kept - DAY, young + DAY):
        use_quota(bob, {resource: 1}, now=at)
    assert prune_quotas(now=NOW) == PrunedQuotas(counters=2, entries=1)
    assert len(left()) == 1
    assert prune_quotas(now=NOW) == NOTHING


def test_months_are_kept_as_long_as_days(bob: Standing):
    use_quota(bob, {"cost_usd": 1}, now=NOW - 450 * DAY)
    use_quota(bob, {"cost_usd": 1}, now=NOW - 365 * DAY)
    assert prune_quotas(now=NOW).counters == 2
    assert len(left()) == 1


def test_totals_and_leases_are_never_deleted(bob: Standing):
    long_ago = NOW - 5_000 * DAY
    use_quota(bob, {"storage_bytes": 7}, now=long_ago)
    reservation = reserve_quota(bob, {"websocket_connections": 1}, now=long_ago)
    settle_quota(reservation, {}, now=long_ago)
    assert prune_quotas(now=NOW) == NOTHING
    assert len(left()) == 2


def test_a_window_in_which_something_is_reserved_stays_whole(cast: Cast, bob: Standing):
    at = NOW - 500 * DAY
    reservation = reserve_quota(bob, {"tokens": 5}, timedelta(days=1000), now=at)
    use_quota(standing_of(cast.alice.id), {"tokens": 5}, now=at)
    assert prune_quotas(now=NOW) == NOTHING
    settle_quota(reservation, {"tokens": 2}, now=NOW)
    assert prune_quotas(now=NOW) == PrunedQuotas(counters=3, entries=3)
    assert left() == []


def test_every_tenant_is_pruned_in_batches_each_audited(
    cast: Cast, bob: Standing, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(quota_retention, "BATCH", 2)
    carol = standing_of(cast.carol.id)
    for number in range(5):
        use_quota(bob, {"messages": 1}, now=NOW - 3 * DAY + timedelta(minutes=number))
    use_quota(carol, {"messages": 1}, now=NOW - 3 * DAY)
    output = StringIO()
    assert prune_quotas(now=NOW) == PrunedQuotas(counters=12, entries=6)
    assert left() == []
    entries = AuditEntry.objects.filter(action="quotas_pruned").order_by("id")
    counts = [entry.details["entries"] for entry in entries.filter(tenant=cast.acme)]
    assert counts == [2, 2, 1]
    (entry,) = entries.filter(tenant=cast.globex)
    assert entry.details | {"up_to": ""} == {"counters": 2, "entries": 1, "up_to": ""}
    call_command("prune_quotas", stdout=output)
    assert output.getvalue() == "Counters deleted: 0; ledger entries deleted: 0\n"


def test_the_ledger_of_a_deleted_tenant_ages_too(cast: Cast):
    carol = standing_of(cast.carol.id)
    use_quota(carol, {"messages": 1, "storage_bytes": 9}, now=NOW - 3 * DAY)
    use_quota(carol, {"messages": 1}, now=NOW)
    cast.globex.delete()
    assert prune_quotas(now=NOW) == PrunedQuotas(entries=1)
    kept = QuotaEntry.objects.order_by("resource").values_list("resource", flat=True)
    assert list(kept) == ["messages", "storage_bytes"]


def test_the_ledger_of_a_deleted_user_goes_with_the_window(cast: Cast, bob: Standing):
    use_quota(bob, {"messages": 1}, now=NOW - 3 * DAY)
    cast.bob.delete()
    assert prune_quotas(now=NOW) == PrunedQuotas(counters=1, entries=1)
    assert left() == []


def test_a_window_that_is_being_changed_is_left_for_the_next_time(cast: Cast, bob: Standing):
    at = NOW - 3 * DAY
    use_quota(bob, {"messages": 1}, now=at)
    changed, may_end = threading.Event(), threading.Event()

    def change() -> None:
        try:
            with transaction.atomic():
                use_quota(bob, {"messages": 1}, now=at)
                changed.set()
                may_end.wait(30)
        finally:
            connection.close()

    worker = threading.Thread(target=change)
    worker.start()
    try:
        assert changed.wait(30)
        assert prune_quotas(now=NOW) == NOTHING
    finally:
        may_end.set()
        worker.join()
    assert prune_quotas(now=NOW) == PrunedQuotas(counters=2, entries=2)
    assert left() == []


def test_a_locked_counter_of_a_member_is_left_too(cast: Cast, bob: Standing):
    use_quota(bob, {"messages": 1}, now=NOW - 3 * DAY)
    with transaction.atomic():
        QuotaUsage.objects.select_for_update().get()
        found: list[PrunedQuotas] = []
        worker = threading.Thread(target=lambda: (found.append(prune_quotas(now=NOW)), connection.close()))
        worker.start()
        worker.join()
    assert found == [NOTHING]
    assert len(left()) == 1


def test_nobody_else_deletes_of_the_ledger(bob: Standing):
    use_quota(bob, {"messages": 1}, now=NOW - 3 * DAY)
    prune_quotas(now=NOW)
    use_quota(bob, {"messages": 1})
    with pytest.raises(IntegrityError, match="append-only"), system_scope("try"):
        QuotaEntry.objects.all().delete()


def test_expired_leases_are_released_by_command(cast: Cast, bob: Standing):
    output = StringIO()
    reserve_quota(bob, {"concurrent_runs": 1}, timedelta(0))
    reserve_quota(standing_of(cast.carol.id), {"concurrent_runs": 1}, timedelta(0))
    reserve_quota(bob, {"concurrent_runs": 1})
    call_command("release_expired_leases", stdout=output)
    call_command("release_expired_leases", stdout=output)
    assert output.getvalue().splitlines() == [
        "2 expired reservations released.",
        "0 expired reservations released.",
    ]
    assert QuotaUsage.objects.get(user=cast.bob).reserved == 1
    assert imbalances() == {}
    with system_scope("look again"):
        assert expire_quotas() == 0
