"""Breaches as the manager deals with them: blocked, recorded, and the contexts involved stopped."""

from uuid import UUID

import pytest

from contexts.exceptions import ContextIsolationError, QuarantinedError
from contexts.identifiers import new_id
from contexts.manager import UserContextManager
from contexts.models.incidents import SecurityIncident
from tests.contexts.managing import fields
from tests.contexts.test_validation import Record

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.mission_critical("P6")]


def pair(manager):
    return manager.create_context(**fields()), manager.create_context(**fields())


def incident():
    (found,) = SecurityIncident.objects.all()
    return found


def test_a_shared_list_is_blocked_on_write():
    manager = UserContextManager()
    alice, carol = pair(manager)
    honest = manager.create_context(**fields())
    alice.state["answers"] = shared = ["secret"]
    with pytest.raises(ContextIsolationError):
        carol.state["cache"] = {"deep": (shared,)}
    assert "cache" not in carol.state
    assert [manager.is_quarantined(context) for context in (alice, carol, honest)] == [True, True, False]
    assert (incident().kind, incident().detector, incident().blocked) == ("shared_object", "on_write", True)
    assert manager.metrics().breaches == 1
    with pytest.raises(QuarantinedError):
        carol.state["cache"] = 1
    honest.state["cache"] = 1


def test_a_permissive_manager_records_and_copies():
    manager = UserContextManager("permissive")
    alice, carol = pair(manager)
    alice.state["answers"] = shared = ["secret"]
    carol.state["cache"] = shared
    shared.append("more")
    assert carol.state["cache"] == ["secret"]
    assert not manager.is_quarantined(alice)
    assert not manager.is_quarantined(carol)
    assert (incident().blocked, manager.metrics().breaches) == (False, 1)
    assert manager.detect_cross_contamination().is_clean


@pytest.mark.parametrize("level", ["strict", "permissive"])
def test_a_list_shared_later_is_found_on_demand_and_told_once(level):
    manager = UserContextManager(level)
    alice, carol = pair(manager)
    alice.state["rows"], carol.state["rows"] = [1, []], [2]
    assert manager.validate_isolation().is_secure
    carol.state["rows"].append(alice.state["rows"][1])
    report = manager.detect_cross_contamination()
    (finding,) = report.shared
    assert report.checked == 2
    assert (finding.kind, finding.type_name) == ("shared_object", "list")
    assert {holder.context_id: holder.path for holder in finding.holders} == {
        alice.context_id: "state['rows'][1]",
        carol.context_id: "state['rows'][1]",
    }
    assert manager.is_quarantined(alice) == manager.is_quarantined(carol) == (level == "strict")
    assert incident().detector == "on_demand"
    security = manager.validate_isolation()
    assert security.contamination is not None
    assert security.contamination.shared == (finding,)
    assert not security.is_secure
    assert manager.metrics().breaches == 1  # still there, and known
    manager.cleanup_context_sync(alice.context_id)
    assert manager.detect_cross_contamination().is_clean


def test_another_users_context_in_a_state_is_found_though_it_is_closed():
    manager = UserContextManager()
    alice, carol = pair(manager)
    carol.state["rows"] = rows = []
    manager.cleanup_context_sync(alice.context_id)
    rows.append(alice)
    (finding,) = manager.detect_cross_contamination().shared
    assert finding.kind == "foreign_object"
    assert {holder.context_id for holder in finding.holders} == {alice.context_id, carol.context_id}
    assert manager.is_quarantined(carol)


@pytest.mark.parametrize("level", ["strict", "permissive"])
def test_an_event_with_a_foreign_id_is_stopped_on_the_way_out(level):
    manager = UserContextManager(level)
    alice = manager.create_context(**fields(thread_id=new_id()))
    carol = manager.create_context(**fields(thread_id=new_id()))
    manager.check_outgoing(carol, {"thread": str(carol.thread_id), "text": ["hello"]})
    with pytest.raises(ContextIsolationError):
        manager.check_outgoing(carol, {"data": [f"see {alice.thread_id}"]})
    assert manager.is_quarantined(carol)
    assert (incident().detector, incident().blocked) == ("on_the_way_out", True)
    with pytest.raises(QuarantinedError):
        manager.check_outgoing(carol, "hello")


def test_ids_of_closed_contexts_are_remembered_on_the_way_out():
    manager = UserContextManager()
    alice, carol = manager.create_context(**fields(thread_id=new_id())), manager.create_context(**fields())
    manager.cleanup_context_sync(alice.context_id)
    with pytest.raises(ContextIsolationError):
        manager.check_outgoing(carol, str(alice.thread_id))


@pytest.mark.parametrize("field", ["agent_context", "audit_metadata"])
def test_what_another_user_owns_goes_into_no_new_context(field):
    manager = UserContextManager()
    alice = manager.create_context(**fields())
    alice.state["cache"] = cache = Record()
    offender = fields(**{field: {"fine": 1, "found": [cache]}})
    with pytest.raises(ContextIsolationError):
        manager.create_context(**offender)
    assert len(manager) == 1
    assert manager.is_quarantined(alice)
    assert manager.metrics().refused_by_validation == 1
    assert (incident().kind, incident().detector) == ("foreign_object", "on_creation")
    assert incident().details["path"] == f"{field}['found'][0]"
    assert UUID(incident().contexts[0]["user_id"]) == offender["user_id"]


def test_a_permissive_manager_copies_plain_data_of_another_user_into_a_new_context():
    manager = UserContextManager("permissive")
    alice = manager.create_context(**fields())
    alice.state["rows"] = rows = [1]
    carol = manager.create_context(**fields(agent_context={"rows": rows}))
    rows.append(2)
    assert carol.agent_context["rows"] == (1,)
    assert (incident().blocked, manager.is_quarantined(carol)) == (False, False)
    assert manager.metrics().refused_by_validation == 0


@pytest.mark.parametrize("level", ["strict", "permissive"])
def test_a_record_of_another_user_stops_the_parent_that_passes_it_on(level):
    manager = UserContextManager(level)
    parent = manager.create_context(**fields())
    with pytest.raises(ContextIsolationError):
        manager.create_child(parent, "agent.data", row=Record(user_id=new_id()))
    assert manager.is_quarantined(parent)
    assert len(manager) == 1
    assert incident().details["path"] == "agent_context['row']"


def test_a_record_of_another_user_in_a_new_context_is_recorded():
    manager = UserContextManager()
    with pytest.raises(ContextIsolationError):
        manager.create_context(**fields(agent_context={"row": Record(user_id=new_id())}))
    assert (incident().detector, len(manager)) == ("on_creation", 0)


def test_ones_own_objects_may_be_passed_on():
    manager = UserContextManager()
    parent = manager.create_context(**fields())
    parent.state["rows"] = rows = [1]
    child = manager.create_child(parent, "agent.data", rows=rows)
    child.state["rows"] = rows
    assert child.agent_context["rows"] == (1,)
    assert manager.detect_cross_contamination().is_clean
    assert not SecurityIncident.objects.exists()


def test_without_detection_nothing_is_checked_unless_asked():
    manager = UserContextManager(cross_contamination_detection=False)
    alice, carol = manager.create_context(**fields(thread_id=new_id())), manager.create_context(**fields())
    alice.state["rows"] = carol.state["rows"] = rows = []
    manager.check_outgoing(carol, str(alice.thread_id))
    manager.create_context(**fields(agent_context={"rows": rows}))
    assert manager.validate_isolation().contamination is None
    assert manager.validate_isolation().is_secure
    assert not manager.detect_cross_contamination().is_clean
    assert manager.is_quarantined(alice)
