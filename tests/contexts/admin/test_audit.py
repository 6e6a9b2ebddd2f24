import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from contexts.identifiers import new_id
from contexts.models import AuditEntry
from tests.clients import client_of
from tests.factories import Cast, make_user

LIST = reverse("admin:contexts_auditentry_changelist")


@pytest.fixture
def operator(cast: Cast) -> Client:
    client = Client()
    user = make_user("operator", is_staff=True, is_superuser=True)
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def test_entries_of_the_deleted_show_whose_they_were(operator: Client, cast: Cast) -> None:
    user_id, tenant_id = new_id(), new_id()
    entry = AuditEntry.objects.create(tenant_id=tenant_id, user_id=user_id, action="done")
    for address in (LIST, reverse("admin:contexts_auditentry_change", args=[entry.pk])):
        page = operator.get(address).content.decode()
        assert str(user_id) in page
        assert str(tenant_id) in page


def test_entries_of_the_installation_belong_to_nobody(operator: Client, cast: Cast) -> None:
    entry = AuditEntry.objects.create(action="audit_pruned")
    for address in (LIST, reverse("admin:contexts_auditentry_change", args=[entry.pk])):
        page = operator.get(address).content.decode()
        assert "audit_pruned" in page
        assert "None" not in page


def test_a_list_with_entries_of_the_deleted_takes_no_more_queries(operator: Client, cast: Cast) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert operator.get(LIST).status_code == 200
        return len(queries)

    AuditEntry.objects.create(tenant=cast.acme, user=cast.alice, action="done")
    count()
    before = count()
    for _ in range(5):
        AuditEntry.objects.create(tenant_id=new_id(), user_id=new_id(), action="done")
    assert count() <= before


def test_the_reason_comes_first(operator: Client, cast: Cast) -> None:
    details = {"after": {"used": "0"}, "member": "whom it was for", "row": "1", "reason": "They asked."}
    entry = AuditEntry.objects.create(tenant=cast.acme, action="quota_reset", details=details)
    page = operator.get(LIST).content.decode()
    assert "reason: They asked., " in page
    page = operator.get(reverse("admin:contexts_auditentry_change", args=[entry.pk])).content.decode()
    assert page.index("They asked.") < page.index("whom it was for")


def test_a_page_without_a_reason_has_a_dash(operator: Client, cast: Cast) -> None:
    entry = AuditEntry.objects.create(tenant=cast.acme, action="done")
    page = operator.get(reverse("admin:contexts_auditentry_change", args=[entry.pk]))
    assert page.status_code == 200
    assert "None" not in page.content.decode()


def test_entries_are_found_by_action_and_tenant(operator: Client, cast: Cast) -> None:
    reset = AuditEntry.objects.create(tenant=cast.acme, action="quota_reset")
    gone = AuditEntry.objects.create(tenant_id=new_id(), user_id=new_id(), action="quota_reset")
    moved = AuditEntry.objects.create(tenant=cast.globex, action="tenant_changed")

    def found(text: str) -> set[AuditEntry]:
        return set(operator.get(LIST, {"q": text}).context["cl"].queryset)

    assert found("quota_reset") == {reset, gone}
    assert found("glob") == {moved}
    assert found("quota_reset acme") == {reset}


def test_the_interface_lists_entries_of_a_deleted_user(cast: Cast) -> None:
    user_id, context_id = new_id(), new_id()
    AuditEntry.objects.create(tenant=cast.acme, user_id=user_id, context_id=context_id, action="done")
    (entry,) = client_of(cast.alice).get("/api/v1/audit").json()["results"]
    assert (entry["user_id"], entry["context_id"]) == (str(user_id), str(context_id))
