from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from contexts.models import AuditEntry, BreachKind, Detector, Role, SecurityIncident, User
from tests.factories import Cast, make_user


def _address(page: str, *arguments: Any) -> str:
    return reverse(f"admin:contexts_securityincident_{page}", args=arguments)


def _signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def _incident(**fields: Any) -> SecurityIncident:
    values: dict[str, Any] = {
        "kind": BreachKind.CANARY,
        "detector": Detector.ON_THE_WAY_OUT,
        "blocked": True,
        "contexts": [{"user_id": "3f0c", "operation": "run"}],
        "details": {"path": "$['answer']"},
    }
    return SecurityIncident.objects.create(**{**values, **fields})


@pytest.fixture
def operator(cast: Cast) -> User:
    # Records outlive the transaction of a test that made one without meaning to.
    SecurityIncident.objects.all().delete()
    return make_user("operator", is_staff=True, is_superuser=True)


@pytest.fixture
def client(operator: User) -> Client:
    return _signed_in(operator)


def test_open_incidents_come_first_and_can_be_filtered(client: Client, operator: User) -> None:
    old = _incident()
    resolved = _incident(resolved_at=timezone.now(), resolved_by=operator, resolution="Harmless.")
    written = _incident(kind=BreachKind.SHARED_OBJECT, detector=Detector.ON_WRITE)

    def listed(**query: str) -> list[SecurityIncident]:
        page = client.get(_address("changelist"), query)
        assert page.status_code == 200
        return list(page.context["cl"].result_list)

    assert listed() == [written, old, resolved]
    assert listed(resolved_at__isempty="1") == [written, old]
    assert listed(resolved_at__isempty="0") == [resolved]
    assert listed(kind__exact="shared_object") == [written]
    assert listed(detector__exact="on_the_way_out") == [old, resolved]
    assert listed(q=str(old.id)) == [old]


def test_a_note_resolves_an_incident(client: Client, operator: User) -> None:
    incident = _incident()
    before = timezone.now()
    response = client.post(
        _address("change", incident.pk),
        {"resolution": "  The cache of a tool; fixed.  ", "kind": "shared_object", "blocked": ""},
    )
    assert response.status_code == 302
    incident.refresh_from_db()
    assert incident.resolution == "The cache of a tool; fixed."
    assert incident.resolved_by == operator
    assert incident.resolved_at is not None
    assert before <= incident.resolved_at <= timezone.now()
    assert (incident.kind, incident.blocked) == ("canary", True)
    entry = AuditEntry.objects.get(action="incident_resolved")
    assert entry.user_id == operator.id


@pytest.mark.parametrize("note", ["", "  \n "])
def test_a_blank_note_leaves_it_open(client: Client, note: str) -> None:
    incident = _incident()
    page = client.post(_address("change", incident.pk), {"resolution": note})
    assert "This field is required." in page.content.decode()
    incident.refresh_from_db()
    assert incident.resolved_at is None
    assert not AuditEntry.objects.filter(action="incident_resolved").exists()


def test_a_resolved_incident_is_only_read(client: Client, operator: User) -> None:
    incident = _incident(resolved_at=timezone.now(), resolved_by=operator, resolution="Harmless.")
    page = client.get(_address("change", incident.pk))
    assert page.status_code == 200
    assert "Harmless." in page.content.decode()
    assert 'name="resolution"' not in page.content.decode()
    response = client.post(_address("change", incident.pk), {"resolution": "Nothing happened."})
    assert response.status_code == 403
    incident.refresh_from_db()
    assert incident.resolution == "Harmless."


def test_one_that_is_resolved_meanwhile_keeps_its_note(
    client: Client, operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    incident = _incident()
    monkeypatch.setattr(
        "contexts.admin.incidents.SecurityIncidentAdmin.has_change_permission", lambda *_: True
    )
    SecurityIncident.objects.update(resolved_at=timezone.now(), resolution="First.")
    response = client.post(_address("change", incident.pk), {"resolution": "Second."})
    assert response.status_code == 403
    incident.refresh_from_db()
    assert incident.resolution == "First."


def test_only_the_note_can_be_written(client: Client) -> None:
    incident = _incident()
    page = client.get(_address("change", incident.pk))
    assert list(page.context["adminform"].form.fields) == ["resolution"]
    assert "$['answer']" in page.content.decode()
    assert client.get(_address("add")).status_code == 403
    assert client.get(_address("delete", incident.pk)).status_code == 403
    assert client.post(_address("delete", incident.pk), {"post": "yes"}).status_code == 403
    chosen = {"action": "delete_selected", "_selected_action": [str(incident.pk)], "post": "yes"}
    client.post(_address("changelist"), chosen)
    assert SecurityIncident.objects.filter(pk=incident.pk).exists()


def test_staff_with_every_permission_see_no_incident(cast: Cast) -> None:
    greta = make_user("greta", cast.globex, Role.OWNER, is_staff=True)
    greta.user_permissions.set(Permission.objects.all())
    staff = _signed_in(greta)
    incident = _incident()
    assert staff.get(_address("changelist")).status_code == 403
    assert staff.get(_address("change", incident.pk)).status_code == 403
    assert staff.post(_address("change", incident.pk), {"resolution": "Mine."}).status_code == 403
    assert "securityincident" not in staff.get("/admin/").content.decode()


def test_a_longer_list_takes_no_more_queries(client: Client, operator: User) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert client.get(_address("changelist")).status_code == 200
        return len(queries)

    resolved = {"resolved_at": timezone.now(), "resolved_by": operator, "resolution": "Harmless."}
    _incident(**resolved)
    count()
    before = count()
    for _ in range(5):
        _incident(**resolved)
    assert count() <= before
