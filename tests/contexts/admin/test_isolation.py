import re
from typing import Any
from uuid import UUID

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
from contexts.models import AuditEntry, ContextRecord, Membership, QuotaUsage, Resource, Role, Tenant, User
from contexts.records import open_record
from tests.factories import Cast, make_dataset, make_message, make_run, make_thread, make_user

SECRETS = ("acme", "Acme", "alice", "bob", "Alice's thread", "alice-question", "alice-log")
SCOPED: list[type[Model]] = [
    AuditEntry,
    ContextRecord,
    Dataset,
    Membership,
    Message,
    QuotaUsage,
    Run,
    Tenant,
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
    QuotaUsage.objects.create(
        tenant=tenant, user=user, resource=Resource.TOKENS, window_start="2026-01-01T00:00:00Z", used=7
    )
    with managed_user_context(UserContextFactory().for_request(user.id)) as context:
        open_record(context)


@pytest.fixture
def filled(cast: Cast) -> Cast:
    _fill(cast.alice, cast.acme)
    _fill(cast.carol, cast.globex)
    return cast


def _signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def staff(filled: Cast) -> Client:
    """Return the session of globex's owner made staff, with every permission there is, but no superuser."""
    owner = make_user("greta", filled.globex, Role.OWNER, is_staff=True)
    owner.user_permissions.set(Permission.objects.all())
    return _signed_in(owner)


@pytest.fixture
def operator(filled: Cast) -> Client:
    return _signed_in(make_user("operator", is_staff=True, is_superuser=True))


def _address(model: type[Model], page: str, *arguments: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=arguments)


def _text(response: Any) -> str:
    """Return the page without the sign of who is signed in."""
    return response.content.decode()


@pytest.mark.parametrize("role", [Role.OWNER, Role.MEMBER])
def test_a_tenants_owner_is_no_operator(cast: Cast, role: str) -> None:
    client = _signed_in(make_user("owner", cast.globex, role))
    response = client.get("/admin/")
    assert response.status_code == 302
    assert "/admin/login/" in response["Location"]
    assert client.get(_address(Tenant, "changelist")).status_code == 302


@pytest.mark.parametrize("model", SCOPED)
def test_staff_see_their_own_tenants_rows_only(staff: Client, filled: Cast, model: type[Model]) -> None:
    page = staff.get(_address(model, "changelist"))
    assert page.status_code == 200
    shown = {str(row.pk) for row in page.context["cl"].queryset}
    everything = {str(pk) for pk in model._default_manager.values_list("pk", flat=True)}
    assert shown
    assert shown < everything
    assert not [secret for secret in SECRETS if secret in _text(page)]


@pytest.mark.parametrize("model", SCOPED)
def test_staff_open_no_row_of_another_tenant(staff: Client, filled: Cast, model: type[Model]) -> None:
    shown = {str(row.pk) for row in staff.get(_address(model, "changelist")).context["cl"].queryset}
    for pk in model._default_manager.values_list("pk", flat=True):
        own = str(pk) in shown
        for page in ("change", "history", "delete"):
            response = staff.get(_address(model, page, pk))
            if own and page == "change":
                assert response.status_code == 200
            if not own:
                assert response.status_code in {302, 403, 404}
            assert not [secret for secret in SECRETS if secret in _text(response)]


@pytest.mark.parametrize("model", SCOPED)
def test_staff_find_no_other_tenant_by_search_or_filter(
    staff: Client, filled: Cast, model: type[Model]
) -> None:
    address = _address(model, "changelist")
    for query in ({"q": "alice"}, {"q": "acme"}, {"tenant__id__exact": str(filled.acme.id)}):
        response = staff.get(address, query, follow=True)
        found = response.context["cl"].queryset if "cl" in (response.context or {}) else []
        tenants = {getattr(row, "tenant_id", None) for row in found}
        assert filled.acme.id not in tenants
        assert filled.alice not in list(found)


def test_staff_change_nothing_not_even_themselves(staff: Client, filled: Cast) -> None:
    greta = User.objects.get(username="greta")
    for model, pk in ((User, greta.pk), (Tenant, filled.globex.pk), (Membership, greta.memberships.get().pk)):
        response = staff.post(_address(model, "change", pk), {"is_superuser": "on", "role": "owner"})
        assert response.status_code == 403
    assert staff.get(reverse("admin:auth_user_password_change", args=[greta.pk])).status_code == 403
    for model in (User, Tenant, Membership):
        assert staff.get(_address(model, "add")).status_code == 403
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
        response = staff.get(_address(model, "changelist"))
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
        page = operator.get(_address(model, "changelist"))
        assert page.status_code == 200, model
        row = model._default_manager.first()
        if row is not None:
            assert operator.get(_address(model, "change", row.pk)).status_code == 200, model
        adding = operator.get(_address(model, "add")).status_code
        assert adding == (200 if site.has_add_permission(page.wsgi_request) else 403), model


@pytest.mark.parametrize("model", [QuotaUsage, AuditEntry, ContextRecord, Thread, Run, Message, Dataset])
def test_what_the_program_writes_nobody_changes(operator: Client, filled: Cast, model: type[Model]) -> None:
    row = model._default_manager.first()
    assert row is not None
    assert operator.get(_address(model, "add")).status_code == 403
    assert operator.get(_address(model, "delete", row.pk)).status_code == 403
    assert operator.post(_address(model, "change", row.pk), {}).status_code == 403


def test_an_operator_changes_a_limit_below_its_tier(operator: Client, filled: Cast) -> None:
    tier = filled.globex.tier
    address = f"/admin/contexts/tier/{tier.pk}/change/"
    form = operator.get(address).context["adminform"].form
    page = operator.get(address)
    sent: dict[str, Any] = {name: form.initial[name] for name in form.fields}
    for inline in page.context["inline_admin_formsets"]:
        sent |= {
            f"{inline.formset.prefix}-{name}": value
            for name, value in inline.formset.management_form.initial.items()
        }
        for row in inline.formset.initial_forms:
            sent |= {
                row.add_prefix(name): row[name].value()
                for name in row.fields
                if row[name].value() is not None
            }
            if row.instance.resource == Resource.AGENT_RUNS:
                sent[row.add_prefix("limit")] = "25"
    sent = {
        name: str(value) if isinstance(value, UUID) else value
        for name, value in sent.items()
        if value is not None
    }
    response = operator.post(address, sent)
    assert response.status_code == 302, re.findall(r"errorlist.*", _text(response))
    assert tier.limits.get(resource=Resource.AGENT_RUNS).limit == 25


@pytest.mark.parametrize("model", [Thread, Run, Message, Dataset, QuotaUsage, AuditEntry, Membership])
def test_a_longer_list_takes_no_more_queries(operator: Client, filled: Cast, model: type[Model]) -> None:
    address = _address(model, "changelist")

    def count() -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert operator.get(address).status_code == 200
        return len(queries)

    count()
    before = count()
    for number in range(5):
        user = make_user(f"user{number}", filled.acme)
        _fill(user, filled.acme)
    assert count() <= before


def test_runs_can_be_filtered_by_their_state(operator: Client, filled: Cast) -> None:
    response = operator.get(_address(Run, "changelist"), {"status__exact": RunStatus.COMPLETED})
    assert list(response.context["cl"].queryset) == []
