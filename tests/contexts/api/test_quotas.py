"""What is left, and what a refusal says, over REST."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from contexts.api.problems import problem_response
from contexts.exceptions import LimitError
from contexts.models import AppliesTo, QuotaOverride, Tenant, TierLimit, User
from contexts.quotas import reserve_quota, use_quota
from contexts.resources import RULES
from contexts.selectors import standing_of
from tests.clients import assert_problem, client_of
from tests.factories import Cast, make_thread

QUOTAS = "/api/v1/quotas"


def quotas(user: User) -> dict[str, Any]:
    answer = client_of(user).get(QUOTAS)
    assert answer.status_code == 200
    return {row.pop("resource"): row for row in answer.json()}


def override(tenant: Tenant, resource: str, limit: Decimal | int, *, everyones: bool = False) -> None:
    QuotaOverride.objects.create(
        tenant=tenant,
        resource=resource,
        limit=limit,
        applies_to=AppliesTo.TENANT if everyones else AppliesTo.MEMBER,
        reason="test",
    )


def refused(user: User, amounts: Mapping[str, int]) -> LimitError:
    with pytest.raises(LimitError) as refusal:
        use_quota(standing_of(user.id), amounts)
    return refusal.value


def test_every_resource_is_told_in_the_usual_order(cast: Cast) -> None:
    rows = client_of(cast.alice).get(QUOTAS).json()
    assert [row["resource"] for row in rows] == list(RULES)
    assert {frozenset(row) for row in rows} == {
        frozenset("resource window limit used reserved remaining resets_at soft_limit".split())
    }


def test_no_more_remains_than_the_tenant_has_left(cast: Cast) -> None:
    override(cast.acme, "agent_runs", 10, everyones=True)
    use_quota(standing_of(cast.alice.id), {"agent_runs": 4})
    reserve_quota(standing_of(cast.alice.id), {"agent_runs": 3})
    mine = quotas(cast.bob)["agent_runs"]
    assert (mine["used"], mine["reserved"], mine["remaining"]) == (0, 0, 3)
    # A ceiling that was lowered below what is used leaves nothing.
    override(cast.acme, "agent_runs", 2, everyones=True)
    assert quotas(cast.bob)["agent_runs"]["remaining"] == 0


def test_a_limit_below_what_is_used_leaves_nothing(cast: Cast) -> None:
    use_quota(standing_of(cast.alice.id), {"storage_bytes": 500})
    override(cast.acme, "storage_bytes", 100)
    mine = quotas(cast.alice)["storage_bytes"]
    assert (mine["limit"], mine["used"], mine["remaining"]) == (100, 500, 0)


def test_soft_limits_of_what_is_whole_are_whole(cast: Cast) -> None:
    TierLimit.objects.update(limit=7, soft_percent=33)
    rows = quotas(cast.alice)
    assert rows["agent_runs"]["soft_limit"] == 3
    assert all(isinstance(rows[name]["soft_limit"], int) for name, rule in RULES.items() if rule.is_whole)
    assert (rows["cost_usd"]["soft_limit"], rows["cpu_seconds"]["soft_limit"]) == ("2.31", 2.31)


@pytest.mark.parametrize("limit", [0, Decimal("999999999999999.999999")])
def test_extreme_limits_are_told(cast: Cast, limit: Decimal) -> None:
    for resource, rule in RULES.items():
        override(cast.acme, resource, Decimal(int(limit)) if rule.is_whole else limit)
    assert set(quotas(cast.alice)) == set(RULES)


def test_without_any_limit_the_lowest_tiers_are_told(cast: Cast) -> None:
    TierLimit.objects.all().delete()
    assert quotas(cast.alice)["agent_runs"]["limit"] == RULES["agent_runs"].fallback


@pytest.mark.parametrize(
    ("resource", "longest"),
    [("messages", 60), ("agent_runs", 86_400), ("cost_usd", 31 * 86_400), ("storage_bytes", None)],
)
def test_a_refusal_says_what_and_until_when(cast: Cast, resource: str, longest: int | None) -> None:
    override(cast.acme, resource, 0)
    response = problem_response(refused(cast.alice, {resource: 1}), {})
    code = "rate_limited" if resource == "messages" else "quota_exceeded"
    problem = json.loads(response.content)
    assert (response.status_code, problem["code"]) == (429, code)
    assert problem["resource"] == resource
    assert problem["limit"] == ("0.00" if resource == "cost_usd" else 0)
    wait = int(response["Retry-After"])
    if longest is None:
        assert (problem["resets_at"], wait) == (None, 60)
    else:
        resets_at = datetime.fromisoformat(problem["resets_at"])
        assert timedelta(0) < resets_at - datetime.now(UTC) <= timedelta(seconds=longest)
        assert 1 <= wait <= longest


def test_the_tenants_ceiling_refuses_with_its_own_figures(cast: Cast) -> None:
    override(cast.acme, "storage_bytes", 10, everyones=True)
    use_quota(standing_of(cast.alice.id), {"storage_bytes": 10})
    file = SimpleUploadedFile("x.csv", b"TIMESTAMP,ContextTokens,GeneratedTokens\n2026-01-01 00:00:00,1,1\n")
    response = client_of(cast.bob).post("/api/v1/datasets", {"file": file})
    problem = assert_problem(response, 429, "quota_exceeded")
    assert (problem["resource"], problem["limit"], problem["resets_at"]) == ("storage_bytes", 10, None)
    assert "organisation" in problem["detail"]
    assert response["Retry-After"] == "60"


@pytest.mark.parametrize("resource", ["agent_runs", "tokens", "cost_usd", "messages"])
def test_a_question_beyond_a_limit_is_a_429(cast: Cast, resource: str) -> None:
    override(cast.globex, resource, 0)
    address = f"/api/v1/threads/{make_thread(cast.carol).id}/runs"
    response = client_of(cast.carol).post(address, {"text": "Why?"}, format="json")
    assert response.status_code == 429
    assert response.json()["resource"] == resource
    assert int(response["Retry-After"]) >= 1
    assert response.json()["resets_at"] is not None


def test_an_outsider_sees_nothing_of_it(cast: Cast) -> None:
    use_quota(standing_of(cast.alice.id), {"agent_runs": 4})
    assert quotas(cast.carol)["agent_runs"]["used"] == 0
