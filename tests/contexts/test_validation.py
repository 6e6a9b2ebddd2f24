from dataclasses import dataclass
from datetime import datetime
from types import SimpleNamespace
from uuid import UUID

import pytest

from contexts.exceptions import ContextIsolationError, InvalidContextError
from contexts.identifiers import new_id
from contexts.preferences import Preferences
from contexts.validation import validate_user_context
from tests.contexts.test_context import make_context

REQUIRED = ["user_id", "tenant_id", "context_id", "request_id", "correlation_id"]
IDENTIFIERS = [*REQUIRED, "thread_id", "run_id", "connection_id", "parent_id"]
PLACEHOLDERS = (
    "registry placeholder default temp none null undefined 0 1 xxx yyy example test demo sample template "
    "mock fake dummy".split()
)


class DriversUUID(UUID):
    """A UUID as some database drivers return it."""


@pytest.mark.parametrize("other", [None, "context", 1, object(), {"user_id": new_id()}, SimpleNamespace()])
def test_only_contexts_are_validated(other):
    with pytest.raises(TypeError, match="context"):
        validate_user_context(other)


def test_a_valid_context_passes():
    validate_user_context(make_context())


@pytest.mark.parametrize("name", REQUIRED)
@pytest.mark.parametrize("spell", [str, str.upper, lambda text: text.replace("-", ""), DriversUUID])
def test_an_identifier_may_be_a_string_that_holds_a_uuid(name, spell):
    identifier = new_id()
    given = spell(str(identifier))
    value = getattr(make_context(**{name: given}), name)
    assert (type(value), value) == (UUID, identifier)


@pytest.mark.mission_critical("P9")
@pytest.mark.parametrize("name", IDENTIFIERS)
@pytest.mark.parametrize(
    "value", ["", "  ", "alice", "123", "not-a-uuid", " None ", "PLACEHOLDER_1", *PLACEHOLDERS]
)
def test_other_strings_are_no_identifiers(name, value):
    with pytest.raises(InvalidContextError, match=name):
        make_context(**{name: value})


@pytest.mark.mission_critical("P9")
@pytest.mark.parametrize("name", IDENTIFIERS)
@pytest.mark.parametrize("value", [7, 1.5, True, b"x", [], {}, object()])
def test_an_identifier_of_another_type_is_both_invalid_and_a_type_error(name, value):
    with pytest.raises(InvalidContextError, match=name) as refusal:
        make_context(**{name: value})
    assert isinstance(refusal.value, TypeError)


@pytest.mark.parametrize("name", REQUIRED)
def test_a_required_identifier_may_not_be_missing(name):
    with pytest.raises(InvalidContextError, match=name):
        make_context(**{name: None})


@pytest.mark.parametrize("name", IDENTIFIERS)
@pytest.mark.parametrize("zero", [UUID(int=0), str(UUID(int=0))])
def test_the_zero_uuid_is_refused(name, zero):
    with pytest.raises(InvalidContextError, match=name):
        make_context(**{name: zero})


@pytest.mark.parametrize("name", ["operation", "tier", "role"])
@pytest.mark.parametrize("word", PLACEHOLDERS)
@pytest.mark.parametrize("spell", [str, str.upper, " {} ".format, "{}_1".format, " {}_user ".format])
def test_placeholders_are_refused_however_they_are_written(name, word, spell):
    with pytest.raises(InvalidContextError, match=f"{name} is a placeholder"):
        make_context(**{name: spell(word)})


@pytest.mark.parametrize("value", ["", "  ", "\n"])
@pytest.mark.parametrize("name", ["operation", "tier", "role"])
def test_blank_words_are_refused(name, value):
    with pytest.raises(InvalidContextError, match=f"{name} is blank"):
        make_context(**{name: value})


@pytest.mark.parametrize(
    "word",
    ["temperature", "latest", "democracy", "temp_" + "x" * 15, "nonesuch", "run_test", "early", "agent.data"],
)
def test_words_that_only_resemble_a_placeholder_pass(word):
    assert make_context(operation=word, tier=word).operation == word


def test_a_short_prefix_ends_at_twenty_characters():
    assert make_context(operation="temp_" + "x" * 15)
    with pytest.raises(InvalidContextError, match="placeholder"):
        make_context(operation="temp_" + "x" * 14)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[(name, value) for name in ("operation", "tier", "role") for value in (None, 7, b"x", ["x"])],
        *[("depth", value) for value in (None, "1", True, 1.0)],
        *[("created_at", value) for value in (None, "2026-01-01", 7)],
        *[("deadline", value) for value in ("2026-01-01", 7)],
        *[
            ("agent_context", value)
            for value in (None, [], "x", 7, {"a": object()}, {7: "x"}, {"a": {7: "x"}})
        ],
        *[("audit_metadata", value) for value in (None, [], "x", 7)],
        *[("preferences", value) for value in (None, {}, Preferences(agents=["data"]))],
        ("ancestors", []),
    ],
)
def test_fields_of_the_wrong_type_are_type_errors(name, value):
    with pytest.raises(TypeError):
        make_context(**{name: value})


def test_unknown_roles_and_times_without_a_zone_are_refused():
    with pytest.raises(InvalidContextError, match="role"):
        make_context(role="superuser")
    for name in ("created_at", "deadline"):
        with pytest.raises(InvalidContextError, match="time zone"):
            make_context(**{name: datetime(2026, 1, 1)})


@pytest.mark.parametrize("depth", [-1, 11])
def test_the_depth_has_bounds(depth):
    with pytest.raises(InvalidContextError, match="10"):
        make_context(depth=depth)


@pytest.mark.parametrize("field", ["agent_context", "audit_metadata"])
@pytest.mark.parametrize(
    "key",
    "user_id tenant_id thread_id run_id request_id context_id connection_id correlation_id created_at "
    "deadline depth parent_id role tier operation state".split(),
)
def test_reserved_keys_are_refused(field, key):
    with pytest.raises(InvalidContextError, match=key):
        make_context(**{field: {"fine": 1, key: "x"}})


def test_reserved_keys_are_refused_in_a_child_too():
    with pytest.raises(InvalidContextError, match="tier"):
        make_context().child("agent.data", tier="enterprise")
    with pytest.raises(InvalidContextError, match="role"):
        make_context().child("agent.data", audit_metadata={"role": "owner"})


@dataclass
class Record:
    """Like a row of the database."""

    user_id: UUID | None = None
    tenant_id: UUID | None = None


@pytest.mark.mission_critical("P6")
@pytest.mark.parametrize(
    "wrap", [lambda found: found, lambda found: [found], lambda found: {"a": ({"b": found},)}]
)
@pytest.mark.parametrize(
    "foreign",
    [
        Record(user_id=new_id()),
        Record(tenant_id=new_id()),
        make_context(),
        {"user_id": new_id()},
        {"user_id": str(new_id())},
        {"tenant_id": str(new_id())},
    ],
)
@pytest.mark.parametrize("field", ["agent_context", "audit_metadata"])
def test_what_belongs_to_another_user_is_refused(field, foreign, wrap):
    with pytest.raises(ContextIsolationError) as refusal:
        make_context(**{field: {"first": object(), "value": wrap(foreign)}})
    assert refusal.value.details["path"].startswith(f"{field}['value']")


def test_what_belongs_to_the_same_user_is_judged_like_anything_else():
    mine = make_context()
    given = {
        "owner": {"user_id": str(mine.user_id), "tenant_id": mine.tenant_id},
        "stated": {"user_id": "n/a"},
    }
    context = make_context(user_id=mine.user_id, tenant_id=mine.tenant_id, agent_context=given)
    assert context.agent_context["owner"]["user_id"] == str(mine.user_id)
    with pytest.raises(TypeError, match="plain data"):
        make_context(user_id=mine.user_id, tenant_id=mine.tenant_id, agent_context={"mine": mine})
