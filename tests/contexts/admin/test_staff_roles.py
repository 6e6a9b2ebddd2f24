"""What support and quota managers see and may not do; members have no business here at all."""

from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from agents.models import Dataset, Message, Run, Thread
from contexts.models import (
    AuditEntry,
    ContextRecord,
    Membership,
    QuotaEntry,
    QuotaGrant,
    QuotaOverride,
    QuotaReservation,
    QuotaUsage,
    Role,
    SecurityIncident,
    Tenant,
    TenantQuotaUsage,
    Tier,
    User,
)
from contexts.quotas import reserve_quota
from contexts.staff_roles import MOVE_TENANT, RESET_QUOTAS, SEE_EVERY_TENANT, give_roles
from contexts.windows import EPOCH
from tests.clients import client_of
from tests.contexts.admin.pages import Member, add_row, address, filled_form, make_staff, problems, signed_in
from tests.factories import Cast, make_message, make_run, make_thread, make_user

SEEN = [
    *(Tenant, Tier, Membership, Run),
    *(QuotaUsage, TenantQuotaUsage, QuotaReservation, QuotaEntry, QuotaOverride, QuotaGrant),
]
HIDDEN = [User, Group, AuditEntry, ContextRecord, SecurityIncident, Thread, Message, Dataset]


@pytest.fixture
def filled(cast: Cast) -> Cast:
    for user, tenant in ((cast.alice, cast.acme), (cast.carol, cast.globex)):
        member = Member(user, tenant)
        member.use(agent_runs=1, tokens=1_000)
        reserve_quota(member, {"tokens": 10}, purpose="run")
        thread = make_thread(user, title=f"{user.username}'s own")
        run = make_run(thread, text=f"secret of {user.username}", idempotency_key=f"key-of-{user.username}")
        make_message(thread, f"secret of {user.username}", run=run)
        decision: dict[str, Any] = {"tenant": tenant, "resource": "tokens", "reason": "They asked."}
        QuotaOverride.objects.create(limit=70_000, **decision)
        QuotaGrant.objects.create(amount=5, window_start=EPOCH, **decision)
        AuditEntry.objects.create(tenant=tenant, user=user, action="done")
    return cast


@pytest.mark.parametrize("model", SEEN)
def test_support_sees_every_tenants_quotas(support: Client, filled: Cast, model: type[Model]) -> None:
    page = support.get(address(model, "changelist"))
    assert page.status_code == 200
    assert page.context["cl"].queryset.count() == model._default_manager.count() >= 2
    for row in model._default_manager.all():
        assert support.get(address(model, "change", row.pk)).status_code == 200


@pytest.mark.parametrize("who", ["support", "manager"])
@pytest.mark.parametrize("model", HIDDEN)
def test_neither_role_sees_people_contents_or_the_audit(
    request: pytest.FixtureRequest, filled: Cast, who: str, model: type[Model]
) -> None:
    client: Client = request.getfixturevalue(who)
    assert client.get(address(model, "changelist")).status_code == 403
    row = model._default_manager.first()
    if row is not None:
        for page in ("change", "delete", "history"):
            assert client.get(address(model, page, row.pk)).status_code in {302, 403, 404}
    if model in {User, Group}:
        assert client.get(address(model, "add")).status_code == 403


def test_support_sees_that_there_was_a_run_but_not_what_was_asked(support: Client, filled: Cast) -> None:
    for run in Run.objects.all():
        text = support.get(address(Run, "change", run.pk)).content.decode()
        assert run.status in text
        assert "secret of" not in text
        assert "key-of" not in text
        assert "'s own" not in text
    for query in ({"text__startswith": "secret of a"}, {"thread__title__startswith": "a"}):
        assert support.get(address(Run, "changelist"), query).status_code == 400


def test_staff_read_the_questions_of_their_own_tenants_runs(roles: None, filled: Cast) -> None:
    client = signed_in(make_staff("sue", "Support", tenant=filled.acme))
    texts = {
        run.user.username: client.get(address(Run, "change", run.pk)).content.decode()
        for run in Run.objects.select_related("user")
    }
    assert "secret of alice" in texts["alice"]
    assert "secret of carol" not in texts["carol"]


@pytest.mark.parametrize("model", SEEN)
def test_support_changes_nothing(support: Client, filled: Cast, model: type[Model]) -> None:
    row = model._default_manager.first()
    assert row is not None
    before = list(model._default_manager.order_by("pk").values())
    sent = {"name": "Mine", "tier": "1", "role": "owner", "limit": "9", "amount": "9", "post": "yes"}
    for page, arguments in (("change", [row.pk]), ("delete", [row.pk]), ("add", [])):
        assert support.post(address(model, page, *arguments), sent).status_code == 403
    chosen = {"action": "delete_selected", "_selected_action": [str(row.pk)], "post": "yes"}
    support.post(address(model, "changelist"), chosen)
    assert list(model._default_manager.order_by("pk").values()) == before


def test_support_changes_no_tenant_through_its_inlines(support: Client, filled: Cast) -> None:
    page = support.get(address(Tenant, "change", filled.globex.pk))
    sent = filled_form(page)
    sent = add_row(sent, "quotaoverride_set", resource="tokens", limit=9, applies_to="member", reason="Me.")
    assert support.post(address(Tenant, "change", filled.globex.pk), sent).status_code == 403
    assert QuotaOverride.objects.count() == 2


def test_support_resets_nothing(support: Client, filled: Cast) -> None:
    carol = Member(filled.carol, filled.globex)
    target = reverse("admin:contexts_tenant_reset", args=[filled.globex.pk, filled.carol.pk, "tokens"])
    assert support.get(target).status_code == 403
    assert support.post(target, {"reason": "Me."}).status_code == 403
    assert carol.used("tokens") == 1_000
    row = QuotaUsage.objects.get(user=filled.carol, resource="tokens")
    assert support.get(address(QuotaUsage, "reset", row.pk)).status_code == 403
    page = support.get(address(Tenant, "change", filled.globex.pk)).content.decode()
    assert "/reset/" not in page


def test_a_quota_manager_moves_a_tenant_and_nothing_else_of_it(manager: Client, filled: Cast) -> None:
    globex = filled.globex
    mid = Tier.objects.get(slug="mid")
    page = manager.get(address(Tenant, "change", globex.pk))
    assert list(page.context["adminform"].form.fields) == ["tier"]
    sent = filled_form(page) | {"tier": mid.pk, "name": "Mine", "slug": "mine", "preferred_model": "x"}
    sent.pop("is_active", None)
    answer = manager.post(address(Tenant, "change", globex.pk), sent)
    assert answer.status_code == 302, problems(answer)
    globex.refresh_from_db()
    assert (globex.tier, globex.name, globex.slug) == (mid, "Globex", "globex")
    assert (globex.is_active, globex.preferred_model) == (True, "")


def test_a_quota_manager_changes_no_member(manager: Client, filled: Cast) -> None:
    membership = filled.carol.memberships.get()
    sent = filled_form(manager.get(address(Tenant, "change", filled.globex.pk)))
    sent |= {"memberships-0-role": "owner", "memberships-0-id": membership.pk, "memberships-0-DELETE": "on"}
    sent = add_row(sent, "memberships", user=filled.alice.pk, role="owner")
    manager.post(address(Tenant, "change", filled.globex.pk), sent)
    membership.refresh_from_db()
    assert membership.role == Role.MEMBER
    assert filled.globex.memberships.count() == 1


@pytest.mark.parametrize("model", [Tier, Membership, QuotaUsage, TenantQuotaUsage, QuotaEntry, Run])
def test_a_quota_manager_writes_nothing_else(manager: Client, filled: Cast, model: type[Model]) -> None:
    row = model._default_manager.first()
    assert row is not None
    for page, arguments in (("change", [row.pk]), ("delete", [row.pk]), ("add", [])):
        assert manager.post(address(model, page, *arguments), {"post": "yes"}).status_code == 403


def test_a_quota_manager_does_not_get_more_for_themselves(manager: Client, mona: User, filled: Cast) -> None:
    sent = {"is_superuser": "on", "is_staff": "on", "groups": [Group.objects.get(name="Support").pk]}
    assert manager.post(address(User, "change", mona.pk), sent).status_code == 403
    assert manager.post(reverse("admin:auth_user_password_change", args=[mona.pk])).status_code == 403
    assert manager.post(address(Group, "add"), {"name": "Kings"}).status_code == 403
    assert manager.post(address(Tenant, "add"), {"name": "Mine", "slug": "mine"}).status_code == 403
    assert manager.post(address(Tenant, "delete", filled.globex.pk), {"post": "yes"}).status_code == 403
    mona.refresh_from_db()
    assert not mona.is_superuser
    assert not Tenant.objects.filter(slug="mine").exists()


def test_a_quota_manager_looks_up_no_account(manager: Client, filled: Cast) -> None:
    for model in ("membership", "quotaoverride"):
        answer = manager.get(
            reverse("admin:autocomplete"),
            {"app_label": "contexts", "model_name": model, "field_name": "user", "term": "a"},
        )
        assert answer.status_code == 403


def test_permissions_to_write_alone_let_staff_write_nothing(filled: Cast) -> None:
    greta = make_user("greta", filled.globex, Role.OWNER, is_staff=True)
    greta.user_permissions.set(Permission.objects.exclude(codename="see_every_tenant"))
    client = signed_in(greta)
    change = address(Tenant, "change", filled.globex.pk)
    sent = filled_form(client.get(change)) | {"tier": Tier.objects.get(slug="mid").pk}
    sent = add_row(sent, "quotaoverride_set", resource="tokens", limit=9, applies_to="member", reason="Me.")
    assert client.post(change, sent).status_code == 403
    target = reverse("admin:contexts_tenant_reset", args=[filled.globex.pk, filled.carol.pk, "tokens"])
    assert client.post(target, {"reason": "Me."}).status_code == 403
    assert QuotaOverride.objects.count() == 2
    filled.globex.refresh_from_db()
    assert filled.globex.tier.slug == "free"
    elsewhere = reverse("admin:contexts_tenant_reset", args=[filled.acme.pk, filled.alice.pk, "tokens"])
    assert client.get(elsewhere).status_code == 404


def test_a_member_gets_to_no_page_of_operators(filled: Cast) -> None:
    client = signed_in(filled.alice)
    bearer = client_of(filled.alice)
    targets = [
        "/admin/",
        *(address(model, "changelist") for model in SEEN),
        address(Tenant, "change", filled.acme.pk),
        address(Tenant, "export_current"),
        address(Tenant, "export_month"),
        reverse("admin:contexts_tenant_reset", args=[filled.acme.pk, filled.alice.pk, "tokens"]),
    ]
    for target in targets:
        for answer in (client.get(target), client.post(target, {"reason": "Me."}), bearer.get(target)):
            assert answer.status_code == 302, target
            assert answer["Location"].startswith("/admin/login/")
    assert Member(filled.alice, filled.acme).used("tokens") == 1_000


def test_the_groups_are_given_back_what_they_are(roles: None) -> None:
    group = Group.objects.get(name="Support")
    assert not {SEE_EVERY_TENANT} - _names(group)
    assert not _names(group) & {MOVE_TENANT, RESET_QUOTAS}
    named = _names(group)
    group.permissions.add(Permission.objects.get(codename="delete_tenant"))
    group.permissions.remove(Permission.objects.get(codename="view_tier"))
    for label in ("contexts", "agents", "auth"):
        give_roles(apps.get_app_config(label), "default")
    assert _names(group) == named
    assert not any(name.split("_")[0] in {"add", "change", "delete"} for name in _codenames(group))


def _names(group: Group) -> set[str]:
    rows = group.permissions.values_list("content_type__app_label", "codename")
    return {f"{label}.{codename}" for label, codename in rows}


def _codenames(group: Group) -> set[str]:
    return set(group.permissions.values_list("codename", flat=True))
