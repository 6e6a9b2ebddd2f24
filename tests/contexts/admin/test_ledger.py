"""The pages of the ledger and of reservations: readable, and never written."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from contexts.admin.amounts import readable
from contexts.identifiers import new_id
from contexts.models import QuotaEntry, QuotaGrant, QuotaOverride, QuotaReservation, Tenant
from contexts.quotas import limit_of, reserve_quota, settle_quota
from contexts.windows import EPOCH, window_start
from tests.contexts.admin.pages import Member, address
from tests.factories import Cast


def test_the_ledger_shows_what_was_reserved_and_settled(support: Client, cast: Cast) -> None:
    carol = Member(cast.carol, cast.globex)
    reservation = reserve_quota(carol, {"cost_usd": 1}, purpose="run")
    settle_quota(reservation, {"cost_usd": 0.25})
    text = support.get(address(QuotaEntry, "changelist")).content.decode()
    for shown in ("carol", "Globex", "$0.25", "-$1.00", "$1.00"):
        assert shown in text
    found: Any = support.get(address(QuotaEntry, "changelist"), {"q": str(reservation.id)})
    assert found.context["cl"].queryset.count() == 2
    other = support.get(address(QuotaEntry, "changelist"), {"q": str(new_id())})
    assert other.context["cl"].queryset.count() == 0


def test_small_amounts_are_neither_lost_nor_nothing_with_a_sign(support: Client, cast: Cast) -> None:
    reservation = reserve_quota(
        Member(cast.carol, cast.globex), {"cpu_seconds": Decimal("0.0314")}, purpose="run"
    )
    settle_quota(reservation, {"cpu_seconds": Decimal("0.0002")})
    page: Any = support.get(address(QuotaEntry, "changelist"))
    admin, rows = page.context["cl"].model_admin, page.context["cl"].result_list
    shown = [(row.kind, admin.is_used(row), admin.is_reserved(row)) for row in rows]
    assert shown == [("settled", "0.0002", "-0.031"), ("reserved", "0", "0.031")]


@pytest.mark.parametrize(
    ("resource", "amount", "shown"),
    [
        ("cpu_seconds", "-0.04", "-0.04"),
        ("cpu_seconds", "-0.000001", "-0.000001"),
        ("cpu_seconds", "-0.000000", "0"),
        ("cpu_seconds", "0.9996", "1"),
        ("cpu_seconds", "1234.56", "1,234.6"),
        ("cost_usd", "-0.000000", "$0.00"),
        ("tokens", "-0", "0"),
        ("storage_bytes", "-0", "0 B"),
    ],
)
def test_amounts_are_readable(resource: str, amount: str, shown: str) -> None:
    assert readable(resource, Decimal(amount)) == shown


def test_an_entry_leads_to_the_others_of_its_reservation(support: Client, cast: Cast) -> None:
    reservation = reserve_quota(Member(cast.carol, cast.globex), {"tokens": 1}, purpose="run")
    entry = QuotaEntry.objects.get()
    text = support.get(address(QuotaEntry, "changelist")).content.decode()
    assert f'href="?q={reservation.id}"' in text
    assert f"…{str(reservation.id)[-12:]}</a>" in text
    assert f"{entry.created_at:%Y-%m-%d %H:%M:%S} UTC" in text


def test_entries_of_the_deleted_show_whose_they_were(support: Client, cast: Cast) -> None:
    Member(cast.carol, cast.globex).use(tokens=5)
    user_id, tenant_id = cast.carol.pk, cast.globex.pk
    cast.carol.delete()
    cast.globex.delete()
    entry = QuotaEntry.objects.get()
    for page in (address(QuotaEntry, "changelist"), address(QuotaEntry, "change", entry.pk)):
        text = support.get(page).content.decode()
        assert str(user_id) in text
        assert str(tenant_id) in text


def test_a_reservation_says_how_much_of_what(support: Client, cast: Cast) -> None:
    reservation = reserve_quota(
        Member(cast.carol, cast.globex), {"tokens": 2_000, "cost_usd": 0.5}, purpose="run"
    )
    for page in (
        address(QuotaReservation, "changelist"),
        address(QuotaReservation, "change", reservation.id),
    ):
        assert "cost_usd $0.50, tokens 2,000" in support.get(page).content.decode()


@pytest.mark.parametrize("model", [QuotaOverride, QuotaGrant])
def test_decisions_are_listed_by_whether_they_hold(support: Client, cast: Cast, model: Any) -> None:
    now = timezone.now()
    granted = {"amount": 5, "window_start": window_start("day", now=now)}
    own: dict[str, Any] = {"limit": 5} if model is QuotaOverride else granted
    decision = {"tenant": cast.globex, "resource": "tokens", "reason": "They asked.", **own}
    old = model.objects.create(expires_at=now - timedelta(minutes=1), **decision)
    new = model.objects.create(expires_at=now + timedelta(hours=1), user=cast.carol, **decision)
    lasting = model.objects.create(**decision)

    def listed(**query: str) -> set[Any]:
        return set(support.get(address(model, "changelist"), query).context["cl"].queryset)

    assert listed() == {old, new, lasting}
    assert listed(in_force="yes") == {new, lasting}
    assert listed(in_force="expired") == {old}
    text = support.get(address(model, "changelist")).content.decode()
    assert "carol" in text
    assert "each member" in text
    assert _states(support, model) == {old.pk: "expired", new.pk: "yes", lasting.pk: "yes"}


def _states(client: Client, model: Any) -> dict[Any, str]:
    """Return what the list's column says of each row."""
    page: Any = client.get(address(model, "changelist"))
    (admin, rows) = page.context["cl"].model_admin, page.context["cl"].result_list
    assert "in_force" in admin.list_display
    return {row.pk: admin.in_force(row) for row in rows}


def test_grants_hold_in_their_own_window(support: Client, cast: Cast) -> None:
    now = timezone.now()
    today = window_start("day", now=now)
    expected = {
        ("tokens", today - timedelta(days=1)): "expired",
        ("tokens", today): "yes",
        ("tokens", today + timedelta(days=1)): "later",
        ("cost_usd", window_start("month", now=now)): "yes",
        ("cost_usd", window_start("month", now=now) - timedelta(days=1)): "expired",
        ("storage_bytes", EPOCH): "yes",
    }
    states = {}
    for (resource, start), state in expected.items():
        values: Any = {"resource": resource, "window_start": start, "amount": 1, "reason": "x"}
        states[QuotaGrant.objects.create(tenant=cast.globex, **values).pk] = state
    assert _states(support, QuotaGrant) == states
    for state in ("yes", "expired", "later"):
        found = support.get(address(QuotaGrant, "changelist"), {"in_force": state}).context["cl"].queryset
        assert {grant.pk for grant in found} == {pk for pk, said in states.items() if said == state}


def test_a_grant_without_an_end_ends_with_its_window(support: Client, manager: Client, cast: Cast) -> None:
    values: Any = {"resource": "tokens", "window_start": EPOCH, "amount": 1, "reason": "x"}
    QuotaGrant.objects.create(tenant=cast.globex, **values)
    for client in (support, manager):
        text = client.get(address(Tenant, "change", cast.globex.pk)).content.decode()
        assert "UTC; empty: until its window ends." in text


def test_a_newer_override_of_just_the_same_limit_supersedes(support: Client, cast: Cast) -> None:
    states = {}
    for resource, user, applies_to, hours, state in (
        ("tokens", None, "member", None, "superseded"),
        ("tokens", cast.carol, "member", None, "superseded"),
        ("tokens", None, "tenant", None, "yes"),
        ("agent_runs", None, "member", None, "yes"),
        ("tokens", None, "member", None, "yes"),
        ("tokens", cast.carol, "member", None, "yes"),
        ("tokens", cast.carol, "member", -1, "expired"),
    ):
        ends = None if hours is None else timezone.now() + timedelta(hours=hours)
        values: Any = {"resource": resource, "user": user, "applies_to": applies_to, "expires_at": ends}
        made = QuotaOverride.objects.create(tenant=cast.globex, limit=1, reason="x", **values)
        states[made.pk] = state
    QuotaOverride.objects.create(tenant=cast.acme, resource="agent_runs", limit=1, reason="x")
    found = _states(support, QuotaOverride)
    assert {pk: found[pk] for pk in states} == states
    for pk, said in states.items():
        tenant = cast.globex
        if said == "superseded":
            overridden = QuotaOverride.objects.get(pk=pk)
            owner = Member(overridden.user or cast.carol, tenant)
            before = limit_of(owner, "tokens")
            overridden.delete()
            assert limit_of(owner, "tokens") == before
