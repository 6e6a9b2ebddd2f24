"""Where tenants stand and what they used lately, as operators are told."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from contexts.models import QuotaOverride, TierLimit
from contexts.operators import reset_quota
from contexts.quotas import reserve_quota, use_quota
from contexts.scope import system_scope
from contexts.tenant_spending import spending_by_day, top_users
from contexts.tenant_usage import COUNTED, standing_of_tenant
from contexts.windows import window_start
from tests.contexts.admin.pages import Member
from tests.factories import Cast, make_cast


@pytest.fixture
def cast(db: None) -> Iterator[Cast]:
    with system_scope("test"):
        yield make_cast()


def test_standing_has_everyone_and_those_who_took_most(cast: Cast) -> None:
    now = timezone.now()
    TierLimit.objects.filter(tier=cast.acme.tier, resource="tokens").update(tenant_limit=20_000_000)
    QuotaOverride.objects.create(
        tenant=cast.acme, resource="tokens", limit=100_000, user=cast.bob, reason="x"
    )
    Member(cast.alice, cast.acme).use(tokens=1_000)
    Member(cast.bob, cast.acme).use(tokens=90_000)
    reserve_quota(Member(cast.bob, cast.acme), {"tokens": 5_000}, purpose="run")
    Member(cast.carol, cast.globex).use(tokens=7)
    found = {row.resource: row for row in standing_of_tenant(cast.acme.pk, now=now)}
    assert list(found) == list(COUNTED)
    tokens = found["tokens"]
    assert tokens.member_limit == 10_000_000
    assert (tokens.together.limit, tokens.together.used, tokens.together.reserved) == (
        *(20_000_000, 91_000, 5_000),
    )
    assert [(row.username, row.percent) for row in tokens.fullest] == [("bob", 95), ("alice", 0)]
    assert found["messages"].together.taken == 0
    assert found["cost_usd"].together.percent is None


def test_yesterdays_use_is_not_todays(cast: Cast) -> None:
    now = timezone.now()
    use_quota(Member(cast.alice, cast.acme), {"tokens": 9}, now=now - timedelta(days=1))
    found = {row.resource: row for row in standing_of_tenant(cast.acme.pk, now=now)}
    assert (found["tokens"].together.used, found["tokens"].fullest) == (0, ())


def test_spending_counts_the_last_days_and_what_was_reset(cast: Cast) -> None:
    now = datetime(2026, 3, 10, 23, 59, tzinfo=UTC)
    alice, bob = Member(cast.alice, cast.acme), Member(cast.bob, cast.acme)
    for back, amount in ((0, 3), (1, 4), (29, 5), (30, 6)):
        at = now - timedelta(days=back)
        use_quota(alice, {"agent_runs": amount, "tokens": 10 * amount, "cost_usd": amount}, now=at)
    use_quota(bob, {"tokens": 1_000}, now=now)
    use_quota(Member(cast.carol, cast.globex), {"tokens": 5}, now=now)
    reset_quota(
        actor=cast.alice,
        tenant_id=cast.acme.pk,
        user_id=cast.alice.pk,
        resource="tokens",
        began_at=window_start("day", now=now),
        reason="x",
        now=now,
    )
    by_day = spending_by_day(cast.acme.pk, now=now)
    assert list(by_day) == ["agent_runs", "tokens", "cost_usd"]
    days = list(by_day["tokens"])
    assert (len(days), days[0], days[-1]) == (30, (now - timedelta(days=29)).date(), now.date())
    assert [by_day["tokens"][day] for day in (days[-1], days[-2], days[0])] == [1_030, 40, 50]
    assert sum(by_day["agent_runs"].values()) == 12
    assert [by_day["cost_usd"][day] for day in (days[-1], days[-2], days[0])] == [3, 4, 5]
    spent = top_users(cast.acme.pk, now=now)
    assert [(row.username, row.runs, row.tokens, row.cost_usd) for row in spent] == [
        ("alice", 12, 120, 12),
        ("bob", 0, 1_000, 0),
    ]


def test_who_is_deleted_still_has_spent(cast: Cast) -> None:
    Member(cast.bob, cast.acme).use(tokens=5)
    gone = cast.bob.pk
    cast.bob.delete()
    assert [(row.user_id, row.username) for row in top_users(cast.acme.pk, now=timezone.now())] == [
        (gone, None)
    ]
