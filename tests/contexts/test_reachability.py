import functools
import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from agents.models import Thread
from contexts.context import UserExecutionContext
from contexts.isolation import find_shared
from contexts.models import BreachKind, Role, Tenant
from contexts.preferences import Preferences
from tests.contexts.breaches import Ownership, open_context

pytestmark = pytest.mark.mission_critical("P6")


@dataclass(frozen=True)
class Setting:
    """A frozen dataclass that everybody's context holds."""

    name: str
    parts: tuple[str, ...] = ("a", "b")


class Price(BaseModel):
    """A frozen model that everybody's context holds."""

    model_config = ConfigDict(frozen=True)
    name: str
    parts: frozenset[str] = frozenset({"a"})


@dataclass
class Basket:
    """Can change."""

    items: Any


SETTING, PRICE = Setting("common"), Price(name="common")


def _logged(function: Any) -> Any:
    @functools.wraps(function)
    def call(*args: Any) -> Any:
        logging.getLogger("netra").debug("called")
        return function(*args)

    return call


@_logged
def decorated(first: Any, second: str = "b") -> Any:
    return first, second


def _honest(number: int) -> UserExecutionContext:
    """Return a context that shares with all others what may be shared, and keeps what is its own."""
    context = open_context(agent_context={"language": "en", "attached": ("a", "b"), "deep": {"a": [1, 2]}})
    context.state["common"] = (SETTING, PRICE, "words", Role.OWNER, json, re.compile("a+"), Preferences())
    context.state["functions"] = {
        "module": json.dumps,
        "decorated": decorated,
        "method": "-".join,
        "partial": functools.partial(decorated, "a"),
        "cached": cached,
        "mine": lambda: number,
    }
    context.state["rows"] = [{"number": number, "of": SETTING} for number in range(5)]
    context.state["records"] = [Tenant(slug=f"t{number}"), Thread(title="A"), Tenant.objects.filter(slug="a")]
    context.state["log"] = Basket(logging.getLogger("netra"))
    context.state["itself"] = context
    return context


@functools.cache
def cached(number: int) -> list[int]:
    return [number]


def test_an_honest_load_of_a_thousand_contexts_shares_nothing() -> None:
    cached(1)
    contexts = [_honest(number) for number in range(1_000)]
    found = find_shared(contexts)
    assert found == []
    assert found.truncated == ()
    contexts[3].state["rows"].append(contexts[900].state["rows"][0])
    assert len(find_shared(contexts)) == 1  # or the above shows nothing


def test_an_honest_load_raises_nothing_on_write() -> None:
    ownership = Ownership()
    contexts = [_honest(number) for number in range(100)]
    for context in contexts:
        bound = ownership.open(user_id=context.user_id, tenant_id=context.tenant_id)
        for name in context.state:
            bound.state[name] = context.state[name]
    assert not ownership.breaches


def test_a_list_given_to_one_and_put_into_anothers_later_is_found_with_both_paths() -> None:
    ownership = Ownership()
    alice, carol = ownership.open(), ownership.open()
    alice.state["rows"] = [0, 1, 2, Basket(None)]
    carol.state["copy"] = {"of": ()}
    cache: list[int] = [7]
    alice.state["rows"][3].items = cache
    carol.state["copy"]["of"] = (1, cache)
    assert not ownership.breaches
    (found,) = find_shared([alice, carol])
    assert found.kind == BreachKind.SHARED_OBJECT
    assert found.type_name == "list"
    assert found.holders == ((alice, "state['rows'][3].items"), (carol, "state['copy']['of'][1]"))


def test_of_an_object_and_what_it_holds_only_the_object_is_reported() -> None:
    alice, carol = open_context(), open_context()
    tree = {"branch": [[1], [2], {"leaf": [3]}]}
    alice.state["tree"] = tree
    carol.state["branch"] = {"a": tree["branch"]}
    (found,) = find_shared([alice, carol])
    assert [path for _, path in found.holders] == ["state['tree']['branch']", "state['branch']['a']"]


def test_two_ways_into_the_same_ring_are_found() -> None:
    alice, carol = open_context(), open_context()
    one: list[Any] = []
    other: list[Any] = [one]
    one.append(other)
    alice.state["ring"], carol.state["ring"] = one, other
    assert {found.holders[0][1] for found in find_shared([alice, carol])} == {
        "state['ring']",
        "state['ring'][0]",
    }


def test_every_context_that_reaches_it_is_named() -> None:
    alice, carol = open_context(), open_context()
    again = open_context(user_id=alice.user_id, tenant_id=alice.tenant_id)
    alice.state["rows"] = again.state["rows"] = rows = [1]
    assert find_shared([alice, again]) == []
    carol.state["rows"] = rows
    (found,) = find_shared([alice, again, carol])
    assert [context for context, _ in found.holders] == [alice, again, carol]


def test_a_context_that_anothers_leads_to_is_found() -> None:
    alice, carol = open_context(), open_context()
    carol.state["friends"] = [alice]
    for contexts in ([alice, carol], [carol, alice], [carol]):
        (found,) = find_shared(contexts)
        assert found.kind == BreachKind.FOREIGN_OBJECT
        assert found.holders == ((carol, "state['friends'][0]"), (alice, "itself"))


def test_a_closed_context_holds_nothing() -> None:
    alice, carol = open_context(), open_context()
    alice.state["rows"] = carol.state["rows"] = [1]
    assert find_shared([alice, carol])
    alice.state.close()
    assert find_shared([alice, carol]) == []


def test_what_is_too_much_to_look_through_is_said() -> None:
    alice, carol = open_context(), open_context()
    rows = [1]
    alice.state["many"] = [*([number] for number in range(200)), [[rows]]]
    carol.state["rows"] = rows
    found = find_shared([alice, carol], limit=100)
    assert found == []
    assert found.truncated == (alice,)
    assert len(find_shared([alice, carol])) == 1
    carol.state["strings"] = list(map(str, range(500)))
    assert find_shared([carol], limit=100).truncated == ()


def test_a_generator_of_contexts_will_do() -> None:
    def live() -> Iterator[UserExecutionContext]:
        for _ in range(2):
            context = open_context()
            context.state["rows"] = [1]
            yield context

    assert find_shared(live()) == []
