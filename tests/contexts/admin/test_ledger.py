"""The pages of the ledger and of reservations: readable, and never written."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from contexts.identifiers import new_id
from contexts.models import QuotaEntry, QuotaGrant, QuotaOverride, QuotaReservation
from contexts.quotas import reserve_quota, settle_quota
from contexts.windows import EPOCH
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
    own: dict[str, Any] = {"limit": 5} if model is QuotaOverride else {"amount": 5, "window_start": EPOCH}
    decision = {"tenant": cast.globex, "resource": "tokens", "reason": "They asked.", **own}
    now = timezone.now()
    old = model.objects.create(expires_at=now - timedelta(minutes=1), **decision)
    new = model.objects.create(expires_at=now + timedelta(hours=1), user=cast.carol, **decision)
    lasting = model.objects.create(**decision)

    def listed(**query: str) -> set[Any]:
        return set(support.get(address(model, "changelist"), query).context["cl"].queryset)

    assert listed() == {old, new, lasting}
    assert listed(in_force="yes") == {new, lasting}
    assert listed(in_force="no") == {old}
    text = support.get(address(model, "changelist")).content.decode()
    assert "carol" in text
    assert "each member" in text
