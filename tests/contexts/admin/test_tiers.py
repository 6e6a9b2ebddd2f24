"""Tiers with their limits: what is refused is said in words, and what is changed is in the audit."""

from typing import Any

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from contexts.admin.amounts import plain, readable, readable_limit
from contexts.models import AuditEntry, Resource, Tier, TierLimit, User
from contexts.resources import RULES
from tests.contexts.admin.pages import add_row, address, filled_form, problems
from tests.factories import Cast


@pytest.fixture
def free(cast: Cast) -> Tier:
    return cast.globex.tier


def _page(operator: Client, tier: Tier) -> Any:
    return operator.get(address(Tier, "change", tier.pk))


def _row_of(page: Any, resource: str) -> str:
    """Return the prefix of the row of a resource's limit."""
    (inline,) = page.context["inline_admin_formsets"]
    (row,) = [form for form in inline.formset.initial_forms if form.instance.resource == resource]
    prefix: str = row.prefix
    return prefix


def _send(operator: Client, tier: Tier, row_of: str, /, **values: Any) -> Any:
    page = _page(operator, tier)
    row = _row_of(page, row_of)
    changes = {f"{row}-{name}": str(value) for name, value in values.items()}
    return operator.post(address(Tier, "change", tier.pk), filled_form(page) | changes)


def test_an_operator_changes_a_limit_below_its_tier(operator: Client, free: Tier) -> None:
    answer = _send(operator, free, "agent_runs", limit=25, tenant_limit=200, soft_percent=70)
    assert answer.status_code == 302, problems(answer)
    limit = free.limits.get(resource="agent_runs")
    assert (limit.limit, limit.tenant_limit, limit.soft_percent) == (25, 200, 70)
    entry = AuditEntry.objects.get(action="tier_limit_changed")
    assert entry.user == User.objects.get(username="operator")
    assert entry.details["resource"] == "agent_runs"
    assert entry.details["before"] == {"limit": "10", "tenant_limit": None, "soft_percent": 80}
    assert entry.details["after"] == {"limit": "25", "tenant_limit": "200", "soft_percent": 70}
    assert not AuditEntry.objects.filter(action="tier_changed").exists()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"limit": "10.5"}, "agent_runs are counted in whole numbers."),
        ({"tenant_limit": "0.5"}, "agent_runs are counted in whole numbers."),
        ({"limit": "-1"}, "Ensure this value is greater than or equal to 0."),
        ({"limit": "NaN"}, "Enter a number"),
        ({"limit": "Infinity"}, "Enter a number"),
        ({"limit": ""}, "This field is required."),
        ({"limit": "1" + "0" * 15}, "no more than 15 digits before the decimal point"),
        ({"soft_percent": "0"}, "1 to 100 percent"),
        ({"soft_percent": "101"}, "1 to 100 percent"),
        ({"soft_percent": "-5"}, "greater than or equal to 0"),
        ({"resource": "wishes"}, "Select a valid choice."),
        ({"resource": "tokens"}, "more than one of: Tokens."),
    ],
)
def test_what_no_limit_can_be_is_refused_in_words(
    operator: Client, free: Tier, values: dict[str, str], said: str
) -> None:
    before = list(free.limits.order_by("pk").values())
    answer = _send(operator, free, "agent_runs", **values)
    assert answer.status_code == 200
    assert said in problems(answer)
    assert "onstraint" not in problems(answer)
    assert "tier_limit" not in problems(answer)
    assert list(free.limits.order_by("pk").values()) == before


def test_a_resource_twice_is_fine_when_one_row_goes(operator: Client, free: Tier) -> None:
    page = _page(operator, free)
    sent = filled_form(page) | {f"{_row_of(page, 'tokens')}-DELETE": "on"}
    sent = add_row(sent, "limits", resource="messages", limit=9, soft_percent=80)
    answer = operator.post(address(Tier, "change", free.pk), sent)
    assert "more than one of: Messages." in problems(answer)
    sent = filled_form(page) | {f"{_row_of(page, 'messages')}-DELETE": "on"}
    assert operator.post(address(Tier, "change", free.pk), sent).status_code == 302
    assert not free.limits.filter(resource="messages").exists()
    entry = AuditEntry.objects.get(action="tier_limit_deleted")
    assert entry.details["before"]["limit"] == "30"
    assert entry.details["after"] == {}


def test_the_page_says_what_holds_where_no_limit_is_stated(operator: Client, free: Tier) -> None:
    assert "None: every resource has its limit." in _page(operator, free).content.decode()
    free.limits.filter(resource__in=["storage_bytes", "cost_usd"]).delete()
    assert "Cost: $1.00 a month; Storage: 50 MB in all" in _page(operator, free).content.decode()


def test_a_tier_is_added_with_limits_and_deleted(operator: Client, cast: Cast) -> None:
    page = operator.get(address(Tier, "add"))
    sent = filled_form(page) | {"name": "Trial", "slug": "trial", "rank": 9, "weight": 1}
    sent = add_row(sent, "limits", resource="cpu_seconds", limit="0.5", soft_percent=50)
    answer = operator.post(address(Tier, "add"), sent)
    assert answer.status_code == 302, problems(answer)
    trial = Tier.objects.get(slug="trial")
    assert TierLimit.objects.get(tier=trial).limit == RULES["cpu_seconds"].fallback / 120
    assert AuditEntry.objects.get(action="tier_added").details["after"]["slug"] == "trial"
    assert AuditEntry.objects.get(action="tier_limit_added").details["after"]["limit"] == "0.5"
    assert operator.post(address(Tier, "delete", trial.pk), {"post": "yes"}).status_code == 302
    assert AuditEntry.objects.get(action="tier_deleted").details["before"]["slug"] == "trial"


def test_a_tier_in_use_is_not_deleted(operator: Client, free: Tier) -> None:
    operator.post(address(Tier, "delete", free.pk), {"post": "yes"})
    assert Tier.objects.filter(pk=free.pk).exists()
    assert not AuditEntry.objects.filter(action="tier_deleted").exists()


def test_the_cheaper_model_must_be_one_that_is_offered(
    operator: Client, free: Tier, settings: Settings
) -> None:
    settings.NETRA_MODELS = ["openai:gpt-4o-mini"]
    for model, status in (("openai:o1-pro", 200), ("openai:gpt-4o-mini", 302)):
        sent = filled_form(_page(operator, free)) | {"fallback_model": model}
        assert operator.post(address(Tier, "change", free.pk), sent).status_code == status
    free.refresh_from_db()
    assert free.fallback_model == "openai:gpt-4o-mini"
    # One that was offered once is left alone.
    settings.NETRA_MODELS = []
    sent = filled_form(_page(operator, free)) | {"weight": 3}
    assert operator.post(address(Tier, "change", free.pk), sent).status_code == 302


@pytest.mark.parametrize("resource", RULES)
def test_every_resource_has_words_for_its_amounts(resource: str) -> None:
    text = readable_limit(resource, RULES[resource].fallback)
    assert text[0] in "0123456789$"
    assert Resource(resource).value not in text


def test_amounts_are_shown_as_people_read_them() -> None:
    number = RULES["tokens"].fallback
    shown = {
        readable("memory_bytes", RULES["memory_bytes"].fallback): "256 MiB",
        readable("storage_bytes", number * 1_000): "50 MB",
        readable("storage_bytes", number * 0): "0 B",
        readable("tokens", number): "50,000",
        readable("cost_usd", number / 8): "$6,250.00",
        readable("cost_usd", number / number / 8_000): "$0.000125",
        readable("cpu_seconds", number / 3): "16,666.7",
        plain(number / 100_000): "0.5",
        plain(number): "50000",
    }
    assert list(shown) == list(shown.values())
