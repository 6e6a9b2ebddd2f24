import asyncio
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import QuerySet

from contexts import incidents
from contexts.database import call_in_thread
from contexts.exceptions import ConflictError, InvalidRequestError
from contexts.identifiers import new_id
from contexts.incidents import (
    flush_incidents,
    flush_incidents_sync,
    isolation_breached,
    record_incident,
    resolve_incident,
)
from contexts.isolation import Breach
from contexts.models import AuditEntry, BreachKind, Detector, SecurityIncident, User
from contexts.scope import system_scope
from tests.contexts.breaches import open_context
from tests.factories import make_cast, make_user

pytestmark = [pytest.mark.mission_critical("P6"), pytest.mark.django_db(transaction=True)]


def a_breach(**fields: Any) -> Breach:
    values: dict[str, Any] = {
        "kind": BreachKind.SHARED_OBJECT,
        "detector": Detector.ON_WRITE,
        "blocked": True,
        "contexts": (open_context(run_id=new_id(), thread_id=new_id()), open_context()),
        "details": {"path": "state['rows'][3].items", "type": "list"},
    }
    return Breach(**{**values, **fields})


@pytest.fixture(autouse=True)
def _none_before() -> None:
    """Delete what a test before wrote without meaning to: records outlive a test's own transaction."""
    flush_incidents_sync()
    SecurityIncident.objects.all().delete()


def audited(breach: Breach) -> QuerySet[AuditEntry]:
    """Return the audit's entries of a breach."""
    tenants = [context.tenant_id for context in breach.contexts]
    return AuditEntry.objects.filter(action="isolation_breach", tenant_id__in=tenants)


@pytest.fixture
def heard() -> Iterator[list[Any]]:
    """Yield what the receivers of the signal are told."""
    told: list[Any] = []

    def receive(sender: Any, breach: Breach, **_: Any) -> None:
        told.append((breach, threading.current_thread()))

    isolation_breached.connect(receive)
    yield told
    isolation_breached.disconnect(receive)


def test_a_breach_is_written_with_ids_and_audited_for_each_context() -> None:
    breach = a_breach()
    record_incident(breach)
    incident = SecurityIncident.objects.get()
    assert (incident.kind, incident.detector, incident.blocked) == ("shared_object", "on_write", True)
    assert incident.details == breach.details
    offender, other = breach.contexts
    assert incident.contexts[0] == {
        "context_id": str(offender.context_id),
        "user_id": str(offender.user_id),
        "tenant_id": str(offender.tenant_id),
        "run_id": str(offender.run_id),
        "thread_id": str(offender.thread_id),
        "request_id": str(offender.request_id),
        "operation": "work",
    }
    assert incident.contexts[1]["user_id"] == str(other.user_id)
    assert incident.resolved_at is None
    entries = audited(breach)
    assert {(entry.tenant_id, entry.user_id, entry.run_id) for entry in entries} == {
        (context.tenant_id, context.user_id, context.run_id) for context in breach.contexts
    }
    for entry in entries:
        assert entry.details == {
            "incident": str(incident.id),
            "kind": "shared_object",
            "detector": "on_write",
        }


def test_the_record_survives_the_rollback_of_what_noticed_it() -> None:
    breach = a_breach()
    with transaction.atomic():
        make_cast()
        record_incident(breach)
        transaction.set_rollback(True)
    assert not User.objects.exists()
    assert SecurityIncident.objects.count() == 1
    assert audited(breach).count() == 2


async def test_an_event_loop_is_not_kept_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    proceed = threading.Event()
    write = incidents._write

    def slowly(*arguments: Any) -> None:
        assert proceed.wait(5)
        write(*arguments)

    monkeypatch.setattr(incidents, "_write", slowly)
    monkeypatch.setattr(incidents, "WAIT_S", None)
    record_incident(a_breach())  # would return only after `slowly` gave up if it waited
    flushing = asyncio.create_task(flush_incidents())
    assert await call_in_thread(SecurityIncident.objects.count) == 0
    assert not flushing.done()
    proceed.set()
    await flushing
    assert await call_in_thread(SecurityIncident.objects.count) == 1


async def test_a_thread_of_an_event_loop_waits() -> None:
    def notice() -> int:
        record_incident(a_breach())
        return SecurityIncident.objects.count()

    assert await call_in_thread(notice) == 1


def test_receivers_are_told_at_once_and_one_that_fails_stops_nothing(
    heard: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    def fail(sender: Any, **_: Any) -> None:
        raise RuntimeError("on purpose")

    isolation_breached.connect(fail)
    try:
        breach = a_breach()
        record_incident(breach)
    finally:
        isolation_breached.disconnect(fail)
    assert heard == [(breach, threading.current_thread())]
    assert SecurityIncident.objects.count() == 1
    assert "on purpose" in caplog.text


def test_the_log_record_has_ids_and_no_content(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "contexts.incidents"):
        breach = a_breach(details={"path": "state['salaries']"})
        record_incident(breach)
        record_incident(a_breach(blocked=False))
    first, second = (record for record in caplog.records if record.name == "contexts.incidents")
    assert (first.levelno, second.levelno) == (logging.ERROR, logging.WARNING)
    for context in breach.contexts:
        assert str(context.user_id) in first.getMessage()
        assert str(context.tenant_id) in first.getMessage()
    assert "salaries" not in first.getMessage()
    assert str(SecurityIncident.objects.order_by("created_at", "id")[0].id) in first.getMessage()


def test_a_database_that_refuses_is_logged_and_stops_nothing(
    heard: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    breach = a_breach(kind="unheard_of")
    record_incident(breach)
    assert len(heard) == 1
    assert SecurityIncident.objects.count() == 0
    assert not audited(breach).exists()
    failure = next(record for record in caplog.records if "not written" in record.getMessage())
    assert failure.exc_info
    assert str(breach.contexts[0].user_id) in failure.getMessage()


def test_writing_leaves_no_connection_open(monkeypatch: pytest.MonkeyPatch) -> None:
    used = []
    write = incidents._write

    def watched(*arguments: Any) -> None:
        write(*arguments)
        used.append((connection.connection, threading.current_thread()))

    monkeypatch.setattr(incidents, "_write", watched)
    record_incident(a_breach())
    ((kept, thread),) = used
    assert kept is None
    assert thread is not threading.current_thread()


def test_many_threads_record_each_their_own() -> None:
    breaches = [a_breach() for _ in range(20)]
    threads = [threading.Thread(target=record_incident, args=(breach,)) for breach in breaches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    flush_incidents_sync()
    recorded = {incident.contexts[0]["user_id"] for incident in SecurityIncident.objects.all()}
    assert recorded == {str(breach.contexts[0].user_id) for breach in breaches}


def test_an_incident_is_resolved_once_and_with_a_note() -> None:
    operator, other = make_user("operator"), make_user("other")
    record_incident(a_breach())
    incident = SecurityIncident.objects.get()
    moment = incident.created_at
    with system_scope("test"):
        with pytest.raises(InvalidRequestError):
            resolve_incident(incident.id, by=operator, note=" \n", now=moment)
        resolve_incident(incident.id, by=operator, note="A cache of the import.", now=moment)
        for identifier in (incident.id, new_id()):
            with pytest.raises(ConflictError):
                resolve_incident(identifier, by=other, note="Not at all.", now=moment)
    incident.refresh_from_db()
    assert (incident.resolution, incident.resolved_by, incident.resolved_at) == (
        "A cache of the import.",
        operator,
        moment,
    )
    entry = AuditEntry.objects.get(action="incident_resolved", user_id=operator.id)
    assert (entry.user_id, entry.tenant_id, entry.details) == (
        operator.id,
        None,
        {"incident": str(incident.id)},
    )
