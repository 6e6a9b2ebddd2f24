from dataclasses import FrozenInstanceError, replace
from datetime import datetime
from uuid import UUID

import pytest

from contexts.context import UserExecutionContext
from contexts.exceptions import ContextClosedError, InvalidContextError
from contexts.identifiers import new_id


def make_context(**fields):
    values = {
        "user_id": new_id(),
        "tenant_id": new_id(),
        "role": "member",
        "tier": "free",
        "operation": "run",
    }
    return UserExecutionContext(**{**values, **fields})


@pytest.mark.mission_critical("P6")
def test_a_context_never_changes():
    context = make_context(agent_context={"models": ["gpt-4o"], "nested": {"limit": 1}})
    with pytest.raises(FrozenInstanceError):
        context.user_id = new_id()
    with pytest.raises((AttributeError, TypeError)):
        context.nickname = "x"
    with pytest.raises(TypeError):
        context.agent_context["models"] = []
    with pytest.raises(TypeError):
        context.agent_context["nested"]["limit"] = 2
    with pytest.raises(AttributeError):
        context.agent_context["models"].append("gpt-4o-mini")


@pytest.mark.mission_critical("P6")
def test_what_goes_into_a_context_is_copied():
    given = {"models": ["gpt-4o"]}
    context = make_context(agent_context=given)
    given["models"].append("claude")
    assert context.agent_context["models"] == ("gpt-4o",)


def test_a_context_takes_plain_data_only():
    with pytest.raises(TypeError, match="plain data"):
        make_context(agent_context={"connection": object()})


def test_fields_are_keywords_only():
    with pytest.raises(TypeError):
        UserExecutionContext(new_id(), new_id(), "member", "free", "run")


@pytest.mark.parametrize("name", ["user_id", "tenant_id", "context_id", "request_id", "correlation_id"])
def test_identifiers_are_uuids_and_not_zero(name):
    with pytest.raises(TypeError, match=name):
        make_context(**{name: str(new_id())})
    with pytest.raises(InvalidContextError, match=name):
        make_context(**{name: UUID(int=0)})


@pytest.mark.parametrize("value", ["", "  ", "None", " TEMP ", "placeholder", "demo_user", "placeholder_1"])
@pytest.mark.parametrize("name", ["operation", "tier"])
def test_blank_and_placeholder_words_are_refused(name, value):
    with pytest.raises(InvalidContextError, match=name):
        make_context(**{name: value})


def test_unknown_roles_and_times_without_a_zone_are_refused():
    with pytest.raises(InvalidContextError, match="role"):
        make_context(role="superuser")
    with pytest.raises(InvalidContextError, match="time zone"):
        make_context(deadline=datetime(2026, 1, 1))


def test_a_child_is_the_same_users_with_a_state_of_its_own():
    parent = make_context(run_id=new_id(), agent_context={"a": 1})
    parent.state["secret"] = "mine"
    child = parent.child("agent.data", b=2)
    assert (child.user_id, child.tenant_id, child.run_id) == (parent.user_id, parent.tenant_id, parent.run_id)
    assert (child.depth, child.parent_id) == (1, parent.context_id)
    assert child.correlation_id == parent.correlation_id
    assert child.request_id != parent.request_id
    assert dict(child.agent_context) == {"a": 1, "b": 2}
    assert "secret" not in child.state


def test_descent_ends_at_ten():
    context = make_context()
    for _ in range(10):
        context = context.child("agent.data")
    with pytest.raises(InvalidContextError, match="10"):
        context.child("agent.data")


def test_every_copy_is_validated():
    with pytest.raises(InvalidContextError):
        replace(make_context(), user_id=UUID(int=0))


def test_a_closed_state_keeps_nothing():
    context = make_context()
    context.state["x"] = 1
    context.state.close()
    assert "x" not in context.state
    with pytest.raises(ContextClosedError):
        context.state["y"] = 2


def test_a_context_as_data_has_no_state():
    context = make_context(agent_context={"n": [1, 2]})
    context.state["secret"] = "s"
    data = context.to_dict()
    assert data["agent_context"] == {"n": [1, 2]}
    assert data["user_id"] == str(context.user_id)
    assert "state" not in data
