import json
from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from uuid import UUID

import pytest

from contexts.context import UserExecutionContext
from contexts.exceptions import InvalidContextError
from contexts.identifiers import new_id
from contexts.preferences import DEFAULT_PREFERENCES, Preferences


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
@pytest.mark.parametrize("name", ["agent_context", "audit_metadata"])
def test_what_goes_into_a_context_is_copied(name):
    given = {"models": ["gpt-4o"], "names": {"x"}}
    context = make_context(**{name: given})
    given["models"].append("claude")
    given["names"].add("y")
    given["late"] = 1
    assert dict(getattr(context, name)) == {"models": ("gpt-4o",), "names": frozenset({"x"})}


class Colour(StrEnum):
    """A value that may be shared."""

    RED = "red"


class Labelled(str):
    """A string with an attribute that changes, which must not be kept."""


@pytest.mark.mission_critical("P6")
def test_instances_of_subclasses_become_plain_values():
    label = Labelled("x")
    label.cache = []
    context = make_context(agent_context={"label": label, "colour": Colour.RED}, tier=Labelled("free"))
    assert type(context.agent_context["label"]) is str
    assert type(context.tier) is str
    assert context.agent_context["colour"] is Colour.RED
    assert context.to_dict()["agent_context"] == {"label": "x", "colour": "red"}


@pytest.mark.parametrize("value", [object(), bytearray(b"x"), [object()], {"a": {"b": lambda: None}}])
def test_a_context_takes_plain_data_only(value):
    with pytest.raises(TypeError, match="plain data"):
        make_context(agent_context={"value": value})


def test_data_that_contain_themselves_are_refused():
    endless = []
    endless.append(endless)
    with pytest.raises(InvalidContextError, match="deep"):
        make_context(agent_context={"endless": endless})


def test_fields_are_keywords_only():
    with pytest.raises(TypeError):
        UserExecutionContext(new_id(), new_id(), "member", "free", "run")


def test_a_child_is_the_same_users_with_a_state_of_its_own():
    preferences = Preferences(language="de")
    parent = make_context(
        run_id=new_id(),
        thread_id=new_id(),
        connection_id=new_id(),
        deadline=datetime(2026, 1, 1, tzinfo=UTC),
        preferences=preferences,
        agent_context={"a": 1, "b": 1},
        audit_metadata={"source": "chat", "step": 1},
    )
    parent.state["secret"] = "mine"
    child = parent.child("agent.data", audit_metadata={"step": 2}, b=2)
    for name in (
        *("user_id", "tenant_id", "role", "tier", "run_id", "thread_id", "connection_id"),
        *("correlation_id", "deadline", "preferences"),
    ):
        assert getattr(child, name) == getattr(parent, name)
    assert (child.depth, child.parent_id, child.operation) == (1, parent.context_id, "agent.data")
    assert len({child.request_id, parent.request_id, child.context_id, parent.context_id}) == 4
    assert dict(child.agent_context) == {"a": 1, "b": 2}
    assert dict(child.audit_metadata) == {"source": "chat", "step": 2}
    assert dict(parent.agent_context) == {"a": 1, "b": 1}
    assert "secret" not in child.state


def test_descent_ends_at_ten():
    context = make_context()
    for _ in range(10):
        context = context.child("agent.data")
    with pytest.raises(InvalidContextError, match="10"):
        context.child("agent.data")


def test_the_audit_trail_shows_the_whole_line_of_descent():
    root = make_context(run_id=new_id())
    data = root.child("agent.data")
    tool = data.child("tool")
    trail = tool.audit_trail()
    assert [step["operation"] for step in trail] == ["run", "agent.data", "tool"]
    assert [step["depth"] for step in trail] == [0, 1, 2]
    assert [step["context_id"] for step in trail] == [str(c.context_id) for c in (root, data, tool)]
    assert [step["request_id"] for step in trail] == [str(c.request_id) for c in (root, data, tool)]
    assert [step["parent_id"] for step in trail] == [None, str(root.context_id), str(data.context_id)]
    assert [step["created_at"] for step in trail] == [c.created_at.isoformat() for c in (root, data, tool)]
    assert {step["run_id"] for step in trail} == {str(root.run_id)}
    assert json.loads(json.dumps(trail)) == trail


def test_a_line_of_descent_cannot_be_made_up():
    parent = make_context()
    child = parent.child("agent.data")
    with pytest.raises(InvalidContextError, match="descent"):
        make_context(depth=1, parent_id=parent.context_id)
    with pytest.raises(InvalidContextError, match="descent"):
        make_context(parent_id=parent.context_id)
    with pytest.raises(InvalidContextError, match="descent"):
        replace(child, parent_id=new_id())
    with pytest.raises(InvalidContextError, match="descent"):
        replace(child, depth=0)
    with pytest.raises(TypeError, match="Ancestor"):
        replace(child, ancestors=(parent,))


def test_every_copy_is_validated():
    with pytest.raises(InvalidContextError):
        replace(make_context(), user_id=UUID(int=0))


@pytest.mark.mission_critical("P6")
def test_a_copy_for_another_user_does_not_take_the_state_along():
    context = make_context()
    context.state["answers"] = ["secret"]
    copy = replace(context, user_id=new_id())
    assert copy.state is not context.state
    assert "answers" not in copy.state


def test_a_state_cannot_be_handed_in():
    with pytest.raises(TypeError):
        make_context(state=make_context().state)


def test_a_context_as_data_is_json_without_its_state():
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    context = make_context(
        agent_context={
            "n": [1, 2],
            "id": UUID(int=7),
            "at": moment,
            "took": timedelta(seconds=1),
            "b": b"\1",
        },
        preferences=Preferences(agents=frozenset({"data", "actions"})),
        created_at=moment,
    )
    context.state["kept"] = "s"
    data = json.loads(json.dumps(context.to_dict()))
    assert data["agent_context"] == {
        "n": [1, 2],
        "id": str(UUID(int=7)),
        "at": "2026-01-01T00:00:00+00:00",
        "took": "0:00:01",
        "b": "01",
    }
    assert data["user_id"] == str(context.user_id)
    assert data["created_at"] == "2026-01-01T00:00:00+00:00"
    assert data["preferences"]["agents"] == ["actions", "data"]
    assert not {"state", "ancestors"} & set(data)
    assert make_context().preferences is DEFAULT_PREFERENCES


@pytest.mark.mission_critical("P8")
@pytest.mark.parametrize(
    "name",
    "password userPassword passwordHash dbpassword access_token accessToken TOKEN tokens API-Key api_key "
    "apiKey x-api-key Authorization client_secret credentials AWS_SECRET_ACCESS_KEY session_key "
    "set-cookie".split(),
)
def test_a_context_as_data_or_text_shows_no_secret(name):
    given = {"deep": [{name: "hunter2-hunter2"}], name: {"inner": "hunter2-hunter2"}}
    context = make_context(agent_context=given, audit_metadata=given)
    # Under `tokens` there may be amounts, which are none; whatever else is there is hidden.
    inner = {"inner": "[redacted]"} if name == "tokens" else "[redacted]"
    assert context.to_dict()["agent_context"] == {"deep": [{name: "[redacted]"}], name: inner}
    assert "hunter2" not in json.dumps(context.to_dict())
    assert "hunter2" not in repr(context)


@pytest.mark.parametrize(
    ("name", "value"), [("input_tokens", 5), ("monkey", "x"), ("author", "x"), ("key", "x")]
)
def test_what_only_sounds_like_a_secret_is_shown(name, value):
    assert make_context(agent_context={name: value}).to_dict()["agent_context"] == {name: value}
