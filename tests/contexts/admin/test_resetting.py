"""Resetting what a member used: asked for with a reason, audited, and never more than that."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from contexts.models import (
    AuditEntry,
    EntryKind,
    QuotaEntry,
    QuotaUsage,
    TenantQuotaUsage,
    User,
)
from contexts.quotas import reserve_quota, use_quota
from contexts.resources import RULES
from contexts.windows import window_start
from tests.contexts.admin.pages import Member, address
from tests.factories import Cast


def _reset_address(member: Member, resource: str) -> str:
    return reverse("admin:contexts_tenant_reset", args=[member.tenant_id, member.user_id, resource])


def _reset(client: Client, member: Member, resource: str, **values: Any) -> Any:
    began_at = window_start(RULES[resource].window, now=timezone.now())
    sent = {"reason": "A bug of ours.", "began_at": began_at.isoformat()} | values
    return client.post(_reset_address(member, resource), sent, follow=True)


def test_a_reset_asks_first_and_then_frees_the_member(manager: Client, mona: User, cast: Cast) -> None:
    carol = Member(cast.carol, cast.globex)
    carol.use(tokens=45_000)
    reserve_quota(carol, {"tokens": 1_000}, purpose="run")
    page = manager.get(_reset_address(carol, "tokens"))
    assert "45,000" in page.content.decode()
    assert carol.used("tokens") == 45_000
    answer = _reset(manager, carol, "tokens")
    assert "Tokens of carol: 45,000 reset." in answer.content.decode()
    usage = QuotaUsage.objects.get(user=cast.carol, resource="tokens")
    together = TenantQuotaUsage.objects.get(tenant=cast.globex, resource="tokens")
    assert (usage.used, usage.reserved, together.used, together.reserved) == (0, 1_000, 0, 1_000)
    entry = QuotaEntry.objects.get(kind=EntryKind.RESET)
    assert (entry.used, entry.reserved, entry.user_id) == (-45_000, 0, cast.carol.pk)
    audit = AuditEntry.objects.get(action="quota_reset")
    assert (audit.tenant, audit.user) == (cast.globex, mona)
    assert audit.details["member"] == str(cast.carol.pk)
    assert audit.details["reason"] == "A bug of ours."
    assert Decimal(audit.details["before"]["used"]) == 45_000
    carol.use(tokens=49_000)


@pytest.mark.parametrize("reason", ["", "   "])
def test_a_reset_without_a_reason_changes_nothing(manager: Client, cast: Cast, reason: str) -> None:
    carol = Member(cast.carol, cast.globex)
    carol.use(tokens=5)
    answer = _reset(manager, carol, "tokens", reason=reason)
    assert "This field is required." in answer.content.decode()
    assert carol.used("tokens") == 5


def test_a_reset_confirmed_in_another_window_changes_nothing(manager: Client, cast: Cast) -> None:
    carol = Member(cast.carol, cast.globex)
    carol.use(tokens=5)
    before = window_start("day", now=timezone.now()) - timedelta(days=1)
    answer = _reset(manager, carol, "tokens", began_at=before.isoformat())
    assert "That window is over" in answer.content.decode()
    assert carol.used("tokens") == 5
    assert not AuditEntry.objects.filter(action="quota_reset").exists()


def test_there_is_nothing_to_reset_of_leases_totals_and_strangers(manager: Client, cast: Cast) -> None:
    carol = Member(cast.carol, cast.globex)
    carol.use(storage_bytes=5)
    for resource in ("storage_bytes", "concurrent_runs", "wishes", "messages"):
        assert manager.get(_reset_address(carol, resource)).status_code == 404
    stranger = Member(cast.carol, cast.acme)
    assert manager.get(_reset_address(stranger, "tokens")).status_code == 404


def test_a_reset_twice_says_that_nothing_is_used(manager: Client, cast: Cast) -> None:
    carol = Member(cast.carol, cast.globex)
    carol.use(tokens=5)
    _reset(manager, carol, "tokens")
    assert "Nothing of it is used." in _reset(manager, carol, "tokens").content.decode()
    assert AuditEntry.objects.filter(action="quota_reset").count() == 1


def test_a_counter_leads_to_its_reset_while_its_window_goes_on(manager: Client, cast: Cast) -> None:
    carol = Member(cast.carol, cast.globex)
    carol.use(tokens=5, storage_bytes=5)
    use_quota(carol, {"tokens": 6}, now=timezone.now() - timedelta(days=1))
    old, new = QuotaUsage.objects.filter(resource="tokens").order_by("window_start")
    stored = QuotaUsage.objects.get(resource="storage_bytes")
    answer = manager.get(address(QuotaUsage, "reset", new.pk))
    assert answer["Location"] == _reset_address(carol, "tokens")
    for row in (old, stored):
        assert manager.get(address(QuotaUsage, "reset", row.pk)).status_code == 403
        assert "/reset/" not in manager.get(address(QuotaUsage, "change", row.pk)).content.decode()
    assert "/reset/" in manager.get(address(QuotaUsage, "change", new.pk)).content.decode()
