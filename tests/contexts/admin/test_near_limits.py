"""Tenants that are nearly through with a limit, found by a filter and shown in the list."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from contexts.models import QuotaGrant, QuotaOverride, QuotaUsage, Tenant, TenantQuotaUsage, TierLimit
from contexts.quotas import reserve_quota, use_quota
from contexts.scope import system_scope
from contexts.tenant_usage import near_limits
from contexts.windows import window_start
from tests.contexts.admin.pages import Member, address
from tests.factories import Cast, make_tenant, make_user


@pytest.fixture
def carol(cast: Cast) -> Member:
    return Member(cast.carol, cast.globex)


def _near(**options: Any) -> Any:
    with system_scope("test"):
        return near_limits(now=timezone.now(), **options)


def _listed(client: Client, **query: str) -> list[Any]:
    return list(client.get(address(Tenant, "changelist"), query).context["cl"].result_list)


def test_eighty_percent_is_near_and_less_is_not(cast: Cast, carol: Member) -> None:
    carol.use(tokens=39_999)
    assert _near() == {}
    reserve_quota(carol, {"tokens": 1}, purpose="run")
    assert _near() == {cast.globex.pk: {"tokens": 80}}
    assert _near(resources=["messages"]) == {}
    assert _near(tenants=[cast.acme.pk]) == {}


def test_yesterdays_window_is_over(carol: Member) -> None:
    use_quota(carol, {"tokens": 50_000}, now=timezone.now() - timedelta(days=1))
    assert _near() == {}


def test_a_lower_override_counts_and_a_grant_takes_it_back(cast: Cast, carol: Member) -> None:
    carol.use(tokens=9)
    decision: dict[str, Any] = {"tenant": cast.globex, "resource": "tokens", "reason": "x"}
    QuotaOverride.objects.create(limit=10, user=cast.carol, **decision)
    assert _near() == {cast.globex.pk: {"tokens": 90}}
    QuotaGrant.objects.create(amount=5, window_start=window_start("day", now=timezone.now()), **decision)
    assert _near() == {}
    QuotaOverride.objects.update(expires_at=timezone.now() - timedelta(days=1))
    assert _near() == {}


def test_a_missing_limit_is_the_free_tiers(cast: Cast, carol: Member) -> None:
    TierLimit.objects.filter(resource="tokens").delete()
    Member(cast.alice, cast.acme).use(tokens=40_000)
    assert _near() == {cast.acme.pk: {"tokens": 80}}


def test_all_together_may_be_near_when_nobody_alone_is(cast: Cast) -> None:
    TierLimit.objects.filter(tier=cast.acme.tier, resource="tokens").update(tenant_limit=100)
    Member(cast.alice, cast.acme).use(tokens=45)
    Member(cast.bob, cast.acme).use(tokens=45)
    assert _near() == {cast.acme.pk: {"tokens": 90}}


def test_what_may_not_be_used_any_more_is_full(cast: Cast, carol: Member) -> None:
    carol.use(tokens=5)
    QuotaOverride.objects.create(tenant=cast.globex, resource="tokens", limit=0, reason="x")
    assert _near() == {cast.globex.pk: {"tokens": 100}}


def test_the_list_finds_them_by_resource_and_tier(support: Client, cast: Cast, carol: Member) -> None:
    carol.use(tokens=45_000, agent_runs=10)
    Member(cast.alice, cast.acme).use(messages=600)
    assert _listed(support, over_80="any") == [cast.acme, cast.globex]
    assert _listed(support, over_80="any", tier__id__exact=str(cast.globex.tier.pk)) == [cast.globex]
    assert _listed(support, over_80="tokens") == [cast.globex]
    assert _listed(support, over_80="cpu_seconds") == []
    # What is no choice is no filter.
    assert len(_listed(support, over_80="wishes")) == 0
    text = support.get(address(Tenant, "changelist")).content.decode()
    assert "Runs 100 %, Tokens 90 %" in text


def test_a_longer_list_takes_no_more_queries(support: Client, cast: Cast, carol: Member) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert _listed(support, over_80="any")
        return len(queries)

    carol.use(tokens=45_000)
    count()
    before = count()
    for number in range(5):
        tenant = make_tenant(f"tenant{number}", "free")
        Member(make_user(f"user{number}", tenant), tenant).use(tokens=45_000)
    assert count() <= before
    assert len(_listed(support, over_80="any")) == 6


def test_counters_are_found_by_window_resource_and_tier(support: Client, cast: Cast, carol: Member) -> None:
    carol.use(tokens=5, storage_bytes=6)
    use_quota(carol, {"tokens": 7}, now=timezone.now() - timedelta(days=1))
    Member(cast.alice, cast.acme).use(tokens=8)
    for model in (QuotaUsage, TenantQuotaUsage):
        page = address(model, "changelist")
        found: Any = support.get(page, {"window": "current"}).context["cl"].queryset
        assert sorted(int(row.used) for row in found) == [5, 6, 8]
        query = {"window": "current", "resource__exact": "tokens"}
        query["tenant__tier__id__exact"] = str(cast.globex.tier.pk)
        found = support.get(page, query).context["cl"].queryset
        assert [int(row.used) for row in found] == [5]
