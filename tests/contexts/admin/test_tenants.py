"""A tenant's page: where it stands, what is decided for it."""

import json
import re
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from contexts.models import (
    AuditEntry,
    QuotaGrant,
    QuotaOverride,
    Role,
    Tenant,
    Tier,
    TierLimit,
    User,
)
from contexts.quotas import limit_of, reserve_quota
from contexts.resources import RULES
from contexts.windows import EPOCH, window_end, window_start
from tests.contexts.admin.pages import Member, add_row, address, filled_form, problems
from tests.factories import Cast, make_user


def _panel(client: Client, tenant: Tenant) -> Any:
    return client.get(address(Tenant, "change", tenant.pk)).context["usage"]


def _decide(client: Client, tenant: Tenant, prefix: str, **values: Any) -> Any:
    page = client.get(address(Tenant, "change", tenant.pk))
    sent = add_row(filled_form(page), prefix, **({"applies_to": "member", "reason": "They asked."} | values))
    return client.post(address(Tenant, "change", tenant.pk), sent)


def _reset_address(member: Member, resource: str) -> str:
    return reverse("admin:contexts_tenant_reset", args=[member.tenant_id, member.user_id, resource])


def test_the_page_shows_bars_charts_and_users(operator: Client, cast: Cast) -> None:
    TierLimit.objects.filter(tier=cast.globex.tier, resource="tokens").update(tenant_limit=60_000)
    carol = Member(cast.carol, cast.globex)
    carol.use(tokens=45_000, agent_runs=10, storage_bytes=1)
    reserve_quota(carol, {"tokens": 1_000}, purpose="run")
    page = operator.get(address(Tenant, "change", cast.globex.pk))
    text = page.content.decode()
    usage = page.context["usage"]
    by_name = {row["resource"]: row for row in usage["resources"]}
    assert by_name["tokens"]["together"]["figures"] == "45,000 + 1,000 reserved"
    assert by_name["tokens"]["together"]["share"] == "76 %"
    (member,) = by_name["tokens"]["members"]
    assert member["bar"]["share"] == "92 %"
    assert [item["value"] for item in member["bar"]["items"]] == ["90.00", "2.00"]
    assert by_name["agent_runs"]["members"][0]["bar"]["is_full"]
    assert by_name["storage_bytes"]["members"][0]["reset"] is None
    assert by_name["storage_bytes"]["members"][0]["bar"]["share"] == "<1 %"
    assert member["reset"] == _reset_address(carol, "tokens")
    assert _reset_address(carol, "tokens") in text
    assert "45,000 + 1,000 reserved of 50,000 · 92 %" in text
    assert usage["top_users"]["rows"] == [["carol", "10", "45,000", "$0.00"]]
    charts = [json.loads(chart["data"]) for chart in usage["charts"]]
    assert [chart["datasets"][0]["data"][-1] for chart in charts] == [10, 45_000, 0]
    assert text.count('<canvas class="chart"') == 3
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "https://" not in text


def test_names_are_no_markup(operator: Client, cast: Cast) -> None:
    User.objects.filter(pk=cast.carol.pk).update(username="<script>alert(1)</script>")
    Member(cast.carol, cast.globex).use(tokens=45_000, agent_runs=1)
    text = operator.get(address(Tenant, "change", cast.globex.pk)).content.decode()
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text


def test_a_tenant_with_more_members_takes_no_more_queries(operator: Client, cast: Cast) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert operator.get(address(Tenant, "change", cast.acme.pk)).status_code == 200
        return len(queries)

    decision: dict[str, Any] = {"tenant": cast.acme, "resource": "tokens", "reason": "x", "user": cast.bob}
    QuotaOverride.objects.create(limit=7, created_by=cast.bob, **decision)
    Member(cast.bob, cast.acme).use(agent_runs=1)
    count()
    before = count()
    for number in range(5):
        user = make_user(f"user{number}", cast.acme)
        Member(user, cast.acme).use(agent_runs=1, messages=2)
        QuotaOverride.objects.create(limit=7, created_by=user, **{**decision, "user": user})
    assert count() <= before


def test_the_usage_needs_its_own_permission(manager: Client, mona: User, cast: Cast) -> None:
    assert _panel(manager, cast.acme)
    mona.groups.clear()
    for codename in ("see_every_tenant", "view_tenant"):
        mona.user_permissions.add(Permission.objects.get(codename=codename))
    page = manager.get(address(Tenant, "change", cast.acme.pk))
    assert page.status_code == 200
    assert "usage" not in page.context
    assert manager.get(address(Tenant, "export_current")).status_code == 403


# -- what is decided


@pytest.mark.parametrize("who", ["operator", "manager"])
def test_an_override_holds_at_once_and_is_audited(
    request: pytest.FixtureRequest, cast: Cast, who: str
) -> None:
    client: Client = request.getfixturevalue(who)
    answer = _decide(client, cast.globex, "quotaoverride_set", resource="tokens", limit=60_000)
    assert answer.status_code == 302, problems(answer)
    override = QuotaOverride.objects.get()
    assert limit_of(Member(cast.carol, cast.globex), "tokens") == 60_000
    assert (override.user, override.reason, override.expires_at) == (None, "They asked.", None)
    assert override.created_by == User.objects.get(username="operator" if who == "operator" else "mona")
    entry = AuditEntry.objects.get(action="quota_override_added")
    assert (entry.tenant, entry.user) == (cast.globex, override.created_by)
    assert entry.details["before"] == {}
    assert entry.details["after"]["limit"] == "60000"
    assert entry.details["after"]["reason"] == "They asked."


def test_an_override_is_changed_and_deleted_by_figure_and_reason_only(manager: Client, cast: Cast) -> None:
    _decide(manager, cast.globex, "quotaoverride_set", resource="tokens", limit=60_000, user=cast.carol.pk)
    change = address(Tenant, "change", cast.globex.pk)
    sent = filled_form(manager.get(change))
    prefix = "quotaoverride_set-0"
    sent |= {f"{prefix}-limit": "70000", f"{prefix}-reason": "More.", f"{prefix}-resource": "messages"}
    sent |= {f"{prefix}-user": "", f"{prefix}-applies_to": "tenant"}
    answer = manager.post(change, sent)
    assert answer.status_code == 302, problems(answer)
    override = QuotaOverride.objects.get()
    assert (override.limit, override.resource, override.user) == (70_000, "tokens", cast.carol)
    entry = AuditEntry.objects.get(action="quota_override_changed")
    assert entry.details["before"] == {"limit": "60000", "reason": "They asked."}
    assert entry.details["after"] == {"limit": "70000", "reason": "More."}
    assert manager.post(change, sent | {f"{prefix}-DELETE": "on"}).status_code == 302
    assert not QuotaOverride.objects.exists()
    entry = AuditEntry.objects.get(action="quota_override_deleted")
    assert entry.details["before"]["limit"] == "70000"
    assert limit_of(Member(cast.carol, cast.globex), "tokens") == 50_000


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"limit": "1.5"}, "counted in whole numbers"),
        ({"limit": "-1"}, "greater than or equal to 0"),
        ({"limit": ""}, "This field is required."),
        ({"reason": ""}, "This field is required."),
        ({"reason": "   "}, "This field is required."),
        ({"resource": "wishes"}, "Select a valid choice."),
        ({"user": "alice"}, "Select a valid choice."),
        ({"user": "carol", "applies_to": "tenant"}, "One member has no limit for all members together."),
        ({"expires_at_0": "2020-01-01", "expires_at_1": "00:00"}, "This has passed already."),
    ],
)
def test_what_no_override_can_be_is_refused_in_words(
    manager: Client, cast: Cast, values: dict[str, str], said: str
) -> None:
    values = {"resource": "tokens", "limit": "5", **values}
    if "user" in values:
        values["user"] = str(User.objects.get(username=values["user"]).pk)
    answer = _decide(manager, cast.globex, "quotaoverride_set", **values)
    assert answer.status_code == 200
    assert said in problems(answer)
    assert "onstraint" not in problems(answer)
    assert not QuotaOverride.objects.exists()


@pytest.mark.parametrize(
    ("resource", "window", "starts"),
    [
        ("tokens", "", lambda now: window_start("day", now=now)),
        ("cost_usd", "next", lambda now: window_end("month", now=now)),
        ("storage_bytes", "next", lambda now: EPOCH),
    ],
)
def test_a_grant_is_for_one_window(
    manager: Client, cast: Cast, resource: str, window: str, starts: Any
) -> None:
    now = timezone.now()
    answer = _decide(manager, cast.globex, "quotagrant_set", resource=resource, amount=9, window=window)
    assert answer.status_code == 302, problems(answer)
    grant = QuotaGrant.objects.get()
    assert grant.window_start in {starts(now), starts(timezone.now())}
    assert grant.created_by == User.objects.get(username="mona")
    more = 0 if window == "next" and grant.window_start != EPOCH else 9
    assert limit_of(Member(cast.carol, cast.globex), resource) == RULES[resource].fallback + more
    assert AuditEntry.objects.get(action="quota_grant_added").details["after"]["amount"] == "9"
    # Shown and sent back untouched, it stays what it is.
    sent = filled_form(manager.get(address(Tenant, "change", cast.globex.pk)))
    answer = manager.post(address(Tenant, "change", cast.globex.pk), sent)
    assert answer.status_code == 302, problems(answer)
    assert QuotaGrant.objects.get().window_start == grant.window_start
    assert not AuditEntry.objects.filter(action="quota_grant_changed").exists()


def test_a_decision_for_who_has_left_does_not_block_the_page(manager: Client, cast: Cast) -> None:
    _decide(manager, cast.acme, "quotaoverride_set", resource="tokens", limit=5, user=cast.bob.pk)
    cast.bob.memberships.all().delete()
    answer = _decide(manager, cast.acme, "quotaoverride_set", resource="messages", limit=6)
    assert answer.status_code == 302, problems(answer)
    assert QuotaOverride.objects.count() == 2


def test_who_may_only_look_reads_decisions_in_plain_numbers(support: Client, cast: Cast) -> None:
    decision: dict[str, Any] = {"tenant": cast.globex, "resource": "tokens", "reason": "They asked."}
    QuotaOverride.objects.create(limit=70_000, **decision)
    QuotaGrant.objects.create(
        amount=Decimal("0.5"), window_start=EPOCH, **{**decision, "resource": "cost_usd"}
    )
    text = support.get(address(Tenant, "change", cast.globex.pk)).content.decode()
    assert ">70000<" in re.sub(r"\s", "", text)
    assert ">0.5<" in re.sub(r"\s", "", text)
    assert "70000.0" not in text


def test_moving_a_tenant_is_audited_with_both_tiers(manager: Client, cast: Cast) -> None:
    change = address(Tenant, "change", cast.globex.pk)
    sent = filled_form(manager.get(change)) | {"tier": Tier.objects.get(slug="mid").pk}
    assert manager.post(change, sent).status_code == 302
    entry = AuditEntry.objects.get(action="tenant_changed")
    assert (entry.tenant, entry.user) == (cast.globex, User.objects.get(username="mona"))
    assert (entry.details["before"], entry.details["after"]) == ({"tier": "free"}, {"tier": "mid"})
    assert limit_of(Member(cast.carol, cast.globex), "tokens") == 2_000_000


def test_changes_of_members_and_accounts_are_audited(operator: Client, cast: Cast) -> None:
    change = address(Tenant, "change", cast.acme.pk)
    sent = filled_form(operator.get(change))
    (row,) = [key for key, value in sent.items() if key.endswith("-user") and value == str(cast.bob.pk)]
    prefix = row.removesuffix("-user")
    answer = operator.post(change, sent | {f"{prefix}-role": "admin"})
    assert answer.status_code == 302, problems(answer)
    entry = AuditEntry.objects.get(action="membership_changed")
    assert (entry.tenant, entry.details["before"], entry.details["after"]) == (
        *(cast.acme, {"role": "member"}, {"role": "admin"}),
    )
    operator.post(change, filled_form(operator.get(change)) | {f"{prefix}-DELETE": "on"})
    assert AuditEntry.objects.get(action="membership_deleted").details["before"]["role"] == Role.ADMIN
    account = address(User, "change", cast.bob.pk)
    sent = filled_form(operator.get(account)) | {"is_staff": "on", "is_superuser": "on"}
    assert operator.post(account, sent).status_code == 302
    entry = AuditEntry.objects.get(action="user_changed")
    assert entry.details["after"] == {"is_staff": True, "is_superuser": True}
    assert "password" not in entry.details["before"]


def test_a_tenant_is_added_and_deleted_in_the_list_under_audit(operator: Client, cast: Cast) -> None:
    sent = filled_form(operator.get(address(Tenant, "add")))
    sent |= {"name": "Initech", "slug": "initech", "tier": cast.globex.tier.pk, "is_active": "on"}
    answer = operator.post(address(Tenant, "add"), sent)
    assert answer.status_code == 302, problems(answer)
    initech = Tenant.objects.get(slug="initech")
    assert AuditEntry.objects.get(action="tenant_added").details["after"]["tier"] == "free"
    chosen = {"action": "delete_selected", "_selected_action": [str(initech.pk)], "post": "yes"}
    operator.post(address(Tenant, "changelist"), chosen)
    assert not Tenant.objects.filter(slug="initech").exists()
    assert AuditEntry.objects.get(action="tenant_deleted").details["before"]["slug"] == "initech"
