from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from agents.models import Chart, Dataset, Message, Run, RunEvent, RunStatus, Thread
from contexts.factory import UserContextFactory, managed_user_context
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
    Tenant,
    TenantQuotaUsage,
    User,
)
from contexts.quotas import reserve_quota
from contexts.records import open_record
from contexts.windows import EPOCH
from tests.contexts.admin.pages import Member, address, signed_in
from tests.factories import Cast, make_dataset, make_message, make_run, make_thread, make_user

SECRETS = ("acme", "Acme", "alice", "bob", "Alice's thread", "alice-question", "alice-log")
SCOPED: list[type[Model]] = [
    AuditEntry,
    ContextRecord,
    Dataset,
    Membership,
    Message,
    QuotaEntry,
    QuotaGrant,
    QuotaOverride,
    QuotaReservation,
    QuotaUsage,
    Run,
    Tenant,
    TenantQuotaUsage,
    Thread,
    User,
]


def _fill(user: User, tenant: Tenant) -> None:
    """Give the user one row of everything that the admin shows."""
    name = user.username
    thread = make_thread(user, title=f"{name.capitalize()}'s thread")
    run = make_run(thread, text=f"{name}-question")
    make_message(thread, f"{name}-question", run=run)
    make_dataset(user, name=f"{name}-log")
    AuditEntry.objects.create(tenant=tenant, user=user, action=f"{name}-act", run_id=run.id)
    member = Member(user, tenant)
    member.use(tokens=7)
    reserve_quota(member, {"tokens": 3}, purpose="run")
    decision: dict[str, Any] = {"tenant": tenant, "resource": "tokens", "reason": f"{name} asked"}
    QuotaOverride.objects.create(limit=70_000, created_by=user, user=user, **decision)
    QuotaGrant.objects.create(amount=5, window_start=EPOCH, **decision)
    with managed_user_context(UserContextFactory().for_request(user.id)) as context:
        open_record(context)


@pytest.fixture
def filled(cast: Cast) -> Cast:
    _fill(cast.alice, cast.acme)
    _fill(cast.carol, cast.globex)
    return cast


@pytest.fixture
def staff(filled: Cast) -> Client:
    """Return the session of globex's owner made staff, with every permission within their tenants."""
    owner = make_user("greta", filled.globex, Role.OWNER, is_staff=True)
    owner.user_permissions.set(Permission.objects.exclude(codename="see_every_tenant"))
    return signed_in(owner)


def _text(response: Any) -> str:
    """Return the page without the sign of who is signed in."""
    return response.content.decode()


@pytest.mark.parametrize("role", [Role.OWNER, Role.MEMBER])
def test_a_tenants_owner_is_no_operator(cast: Cast, role: str) -> None:
    client = signed_in(make_user("owner", cast.globex, role))
    response = client.get("/admin/")
    assert response.status_code == 302
    assert "/admin/login/" in response["Location"]
    assert client.get(address(Tenant, "changelist")).status_code == 302


@pytest.mark.parametrize("model", SCOPED)
def test_staff_see_their_own_tenants_rows_only(staff: Client, filled: Cast, model: type[Model]) -> None:
    page = staff.get(address(model, "changelist"))
    assert page.status_code == 200
    shown = {str(row.pk) for row in page.context["cl"].queryset}
    everything = {str(pk) for pk in model._default_manager.values_list("pk", flat=True)}
    assert shown
    assert shown < everything
    assert not [secret for secret in SECRETS if secret in _text(page)]


@pytest.mark.parametrize("model", SCOPED)
def test_staff_open_no_row_of_another_tenant(staff: Client, filled: Cast, model: type[Model]) -> None:
    shown = {str(row.pk) for row in staff.get(address(model, "changelist")).context["cl"].queryset}
    for pk in model._default_manager.values_list("pk", flat=True):
        own = str(pk) in shown
        for page in ("change", "history", "delete"):
            response = staff.get(address(model, page, pk))
            if own and page == "change":
                assert response.status_code == 200
            if not own:
                assert response.status_code in {302, 403, 404}
            assert not [secret for secret in SECRETS if secret in _text(response)]


@pytest.mark.parametrize("model", SCOPED)
def test_staff_find_no_other_tenant_by_search_or_filter(
    staff: Client, filled: Cast, model: type[Model]
) -> None:
    changelist = address(model, "changelist")
    for query in ({"q": "alice"}, {"q": "acme"}, {"tenant__id__exact": str(filled.acme.id)}):
        response = staff.get(changelist, query, follow=True)
        found = response.context["cl"].queryset if "cl" in (response.context or {}) else []
        tenants = {getattr(row, "tenant_id", None) for row in found}
        assert filled.acme.id not in tenants
        assert filled.alice not in list(found)


def test_staff_change_nothing_not_even_themselves(staff: Client, filled: Cast) -> None:
    greta = User.objects.get(username="greta")
    for model, pk in ((User, greta.pk), (Tenant, filled.globex.pk), (Membership, greta.memberships.get().pk)):
        response = staff.post(address(model, "change", pk), {"is_superuser": "on", "role": "owner"})
        assert response.status_code == 403
    assert staff.get(reverse("admin:auth_user_password_change", args=[greta.pk])).status_code == 403
    for model in (User, Tenant, Membership):
        assert staff.get(address(model, "add")).status_code == 403
    greta.refresh_from_db()
    assert not greta.is_superuser


def test_staff_look_up_no_name_of_another_tenant(staff: Client, filled: Cast) -> None:
    for model, field in (("membership", "user"), ("membership", "tenant")):
        response = staff.get(
            reverse("admin:autocomplete"),
            {"app_label": "contexts", "model_name": model, "field_name": field, "term": "a"},
        )
        assert not [secret for secret in SECRETS if secret in response.content.decode()]


def test_every_page_of_the_admin_keeps_the_tenants_apart(staff: Client, filled: Cast) -> None:
    index = staff.get("/admin/")
    assert index.status_code == 200
    assert not [secret for secret in SECRETS if secret in _text(index)]
    for model in admin.site._registry:
        response = staff.get(address(model, "changelist"))
        assert response.status_code in {200, 403}
        assert not [secret for secret in SECRETS if secret in _text(response)], model


def test_no_page_shows_tokens_or_events(operator: Client) -> None:
    names = {model.__name__ for model in admin.site._registry}
    assert not names & {
        "OutstandingToken",
        "BlacklistedToken",
        "SocketTicket",
        RunEvent.__name__,
        Chart.__name__,
    }


def test_an_operator_opens_every_page(operator: Client, filled: Cast) -> None:
    assert operator.get("/admin/").status_code == 200
    for model, site in admin.site._registry.items():
        page = operator.get(address(model, "changelist"))
        assert page.status_code == 200, model
        row = model._default_manager.first()
        if row is not None:
            assert operator.get(address(model, "change", row.pk)).status_code == 200, model
        adding = operator.get(address(model, "add")).status_code
        assert adding == (200 if site.has_add_permission(page.wsgi_request) else 403), model


WRITTEN_BY_THE_PROGRAM = [
    *(QuotaUsage, TenantQuotaUsage, QuotaReservation, QuotaEntry, AuditEntry, ContextRecord),
    *(Thread, Run, Message, Dataset),
]


@pytest.mark.parametrize("model", WRITTEN_BY_THE_PROGRAM)
def test_what_the_program_writes_nobody_changes(operator: Client, filled: Cast, model: type[Model]) -> None:
    row = model._default_manager.first()
    assert row is not None
    assert operator.get(address(model, "add")).status_code == 403
    assert operator.get(address(model, "delete", row.pk)).status_code == 403
    assert operator.post(address(model, "change", row.pk), {}).status_code == 403


@pytest.mark.parametrize("model", [*WRITTEN_BY_THE_PROGRAM, Membership, QuotaOverride, QuotaGrant, Tenant])
def test_a_longer_list_takes_no_more_queries(operator: Client, filled: Cast, model: type[Model]) -> None:
    changelist = address(model, "changelist")

    def count() -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert operator.get(changelist).status_code == 200
        return len(queries)

    count()
    before = count()
    for number in range(5):
        user = make_user(f"user{number}", filled.acme)
        _fill(user, filled.acme)
    assert count() <= before


def test_runs_can_be_filtered_by_their_state(operator: Client, filled: Cast) -> None:
    response = operator.get(address(Run, "changelist"), {"status__exact": RunStatus.COMPLETED})
    assert list(response.context["cl"].queryset) == []
