"""Counters that differ from the ledger are found and repaired, and none differs by itself."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from contexts.exceptions import LimitError
from contexts.models import AuditEntry, QuotaEntry, QuotaReservation, QuotaUsage, Tenant, TenantQuotaUsage
from contexts.quota_statements import Reservation
from contexts.quotas import draw_quota, expire_quotas, extend_quota, reserve_quota, settle_quota, use_quota
from contexts.reconciliation import Part, find_differences, repair
from contexts.selectors import Standing, standing_of
from contexts.windows import EPOCH
from tests.contexts.quota_books import imbalances
from tests.factories import Cast, make_cast

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.mission_critical("P4")]


@pytest.fixture
def cast(transactional_db: None) -> Cast:
    return make_cast()


@pytest.fixture
def bob(cast: Cast) -> Standing:
    return standing_of(cast.bob.id)


def run(*arguments: str) -> str:
    output = StringIO()
    call_command("reconcile_quotas", *arguments, stdout=output)
    return output.getvalue()


def checked() -> str:
    """Return what the check prints before it fails."""
    output = StringIO()
    with pytest.raises(CommandError, match="from the ledger"):
        call_command("reconcile_quotas", "--check", stdout=output)
    return output.getvalue()


def test_counters_that_are_right_are_said_to_be(bob: Standing):
    use_quota(bob, {"agent_runs": 2})
    reserve_quota(bob, {"tokens": 500, "concurrent_runs": 1})
    assert run() == run("--check") == "Every counter and reservation is what the ledger says.\n"
    assert not AuditEntry.objects.filter(action="quota_reconciled").exists()


def test_a_damaged_counter_is_shown_and_set_to_the_ledgers_sum(bob: Standing):
    use_quota(bob, {"storage_bytes": 700})
    reserve_quota(bob, {"storage_bytes": 50})
    QuotaUsage.objects.update(used=9, reserved=0)
    TenantQuotaUsage.objects.update(used=701)
    table = checked()
    assert "member's counter  acme    bob" in table
    assert "used 9, reserved 0" in table
    assert "tenant's counter  acme    all" in table
    assert QuotaUsage.objects.get().used == 9
    assert "Repaired: 2" in run()
    assert imbalances() == {}
    assert (QuotaUsage.objects.get().used, TenantQuotaUsage.objects.get().reserved) == (700, 50)
    assert run("--check")


def test_a_repair_is_audited_with_before_and_after(bob: Standing):
    use_quota(bob, {"storage_bytes": 700})
    QuotaUsage.objects.update(used=9)
    run()
    entry = AuditEntry.objects.get(action="quota_reconciled")
    assert (entry.tenant_id, entry.user_id) == (bob.tenant_id, bob.user_id)
    assert entry.details["resource"] == "storage_bytes"
    assert Decimal(entry.details["before"]["used"]) == 9
    assert Decimal(entry.details["after"]["used"]) == 700


def test_a_counter_that_is_gone_is_made_again(bob: Standing):
    use_quota(bob, {"agent_runs": 3})
    QuotaUsage.objects.all().delete()
    TenantQuotaUsage.objects.all().delete()
    run()
    assert imbalances() == {}
    assert QuotaUsage.objects.get().used == TenantQuotaUsage.objects.get().used == 3


def test_a_reservation_holds_what_the_ledger_says(bob: Standing):
    reservation = reserve_quota(bob, {"tokens": 500, "cpu_seconds": 5})
    draw_quota(reservation, {"tokens": 100})
    QuotaReservation.objects.update(amounts=[5, 450])
    assert f"reservation {reservation.id}" in checked()
    run()
    assert imbalances() == {}
    assert [*map(int, QuotaReservation.objects.get().amounts)] == [5, 400]
    assert settle_quota(reservation, {"tokens": 300})
    assert run("--check")
    assert int(QuotaUsage.objects.get(resource="tokens").used) == 400


def test_what_a_lost_reservation_held_is_refunded_by_an_entry(bob: Standing):
    reservation = reserve_quota(bob, {"concurrent_runs": 1, "tokens": 500})
    QuotaReservation.objects.all().delete()
    assert imbalances() != {}
    checked()
    run()
    assert imbalances() == {}
    assert not QuotaUsage.objects.filter(reserved__gt=0).exists()
    assert not TenantQuotaUsage.objects.filter(reserved__gt=0).exists()
    refunds = QuotaEntry.objects.filter(kind="expired", reservation_id=reservation.id)
    assert sorted(refunds.values_list("resource", "reserved")) == [("concurrent_runs", -1), ("tokens", -500)]
    assert AuditEntry.objects.filter(action="quota_reconciled").count() == 2


def test_counters_and_a_lost_reservation_are_repaired_together(bob: Standing):
    reserve_quota(bob, {"concurrent_runs": 1})
    QuotaReservation.objects.all().delete()
    QuotaUsage.objects.update(reserved=0)
    run()
    assert imbalances() == {}
    assert QuotaUsage.objects.get().reserved == 0


def test_the_ledger_of_who_is_deleted_needs_no_counters(cast: Cast, bob: Standing):
    use_quota(bob, {"agent_runs": 3})
    reserve_quota(bob, {"concurrent_runs": 1})
    use_quota(standing_of(cast.carol.id), {"agent_runs": 1})
    cast.bob.delete()
    # What he had reserved went with him, and is refunded to the tenant.
    run()
    assert run("--check")
    assert not TenantQuotaUsage.objects.filter(reserved__gt=0).exists()
    assert TenantQuotaUsage.objects.get(tenant=cast.acme, resource="agent_runs").used == 3
    Tenant.objects.get(id=cast.globex.id).delete()
    assert run("--check")


def test_a_difference_that_is_gone_is_not_repaired_twice(bob: Standing):
    use_quota(bob, {"agent_runs": 3})
    reservation = reserve_quota(bob, {"tokens": 10, "cpu_seconds": 1})
    QuotaUsage.objects.filter(resource="agent_runs").update(used=1)
    QuotaReservation.objects.update(amounts=[2, 20])
    differences = find_differences()
    assert [difference.part for difference in differences] == [Part.MEMBER, *[Part.RESERVATION] * 2]
    # Both lines of a reservation are repaired at once.
    assert [repair(difference) for difference in differences] == [True, True, False]
    settle_quota(reservation, {})
    assert [repair(difference) for difference in differences] == [False] * 3
    assert AuditEntry.objects.filter(action="quota_reconciled").count() == 2


def test_a_ledger_that_is_impossible_is_reported_and_changes_no_counter(bob: Standing):
    use_quota(bob, {"storage_bytes": 5})
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO contexts_quotaentry (tenant_id, user_id, resource, window_start, kind, used,"
            " reserved) VALUES (%s, %s, 'storage_bytes', %s, 'used', -9, 0)",
            [bob.tenant_id, bob.user_id, EPOCH],
        )
    assert "used -4" in checked()
    with pytest.raises(CommandError, match="2 things differ from the ledger still"):
        run()
    assert QuotaUsage.objects.get().used == 5


def test_nothing_differs_while_the_site_works(cast: Cast):
    owners = [standing_of(user.id) for user in (cast.alice, cast.bob, cast.carol)]
    stop = threading.Event()

    def work(number: int) -> None:
        try:
            while not stop.is_set():
                _one_piece_of_work(owners[number % len(owners)], number)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as workers, ExitStack() as end:
        end.callback(stop.set)
        working = [workers.submit(work, number) for number in range(8)]
        for _ in range(15):
            assert find_differences() == []
        assert "Every counter" in run()
        # A repair in the middle of the work hits exactly what was damaged.
        QuotaUsage.objects.filter(user=cast.bob, resource="storage_bytes").update(used=10**9)
        assert [repair(difference) for difference in find_differences()] == [True]
        assert find_differences() == []
    for worker in working:
        worker.result()
    expire_quotas()
    assert imbalances() == {}
    assert QuotaEntry.objects.count() > 100


def _one_piece_of_work(owner: Standing, number: int) -> None:
    def attempt(call: Callable[..., Any], *arguments: Any, **fields: Any) -> Any:
        try:
            return call(*arguments, **fields)
        except LimitError:
            return None

    attempt(use_quota, owner, {"messages": 1, "storage_bytes": 1})
    amounts = {"concurrent_runs": 1, "tokens": 100, "storage_bytes": 10 + number}
    reservation: Reservation | None = attempt(
        reserve_quota, owner, amounts, timedelta(milliseconds=5 if number == 0 else 60_000)
    )
    if reservation is None or number == 0:
        return
    attempt(extend_quota, reservation, {"tokens": 50})
    draw_quota(reservation, {"tokens": 70})
    settle_quota(reservation, {"tokens": 20, "storage_bytes": 1})
