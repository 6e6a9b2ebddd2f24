import functools
import logging
import re
import threading
import weakref
from collections import UserList, deque, namedtuple
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest
from django.utils.functional import SimpleLazyObject
from pydantic import BaseModel, ConfigDict, PrivateAttr

from contexts.exceptions import ContextIsolationError
from contexts.identifiers import new_id
from contexts.isolation import declare_shared
from contexts.models import User
from tests.contexts.breaches import Ownership

pytestmark = pytest.mark.mission_critical("P6")


class Colour(Enum):
    """Members of an enumeration are shared, whatever their values are."""

    RED = ["even", "a", "list"]


class Point(namedtuple("Point", "x y")):
    """A tuple with names."""

    __slots__ = ()


class Labelled(str):
    """A string that takes attributes, and so can change."""


@dataclass(frozen=True)
class Frozen:
    """Cannot change, but may hold what can."""

    name: str
    items: Any = ()


@dataclass(frozen=True, slots=True)
class FrozenSlots:
    """The same, without a dictionary."""

    items: Any = ()


class Thawed(Frozen):
    """Takes further attributes, since it is no dataclass of its own."""


class FrozenModel(BaseModel):
    """The same, by pydantic."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)
    items: Any = ()


class FrozenModelWithSecrets(FrozenModel):
    """Looks frozen, but for its private attributes."""

    _cache: dict[str, str] = PrivateAttr(default_factory=dict)


@dataclass
class Basket:
    """Can change, and is full of what can."""

    items: list[Any] = field(default_factory=list)


class Slots:
    """Can change, and has no dictionary."""

    __slots__ = ("items",)

    def __init__(self, items: Any) -> None:
        self.items = items

    def use(self) -> Any:
        return self.items


def closing_over(items: Any) -> Any:
    return lambda: items


def with_default(items: Any) -> Any:
    def use(*, given: Any = items) -> Any:
        return given

    return use


WRAPPERS = {
    "list": lambda items: [items],
    "tuple": lambda items: (1, (items,)),
    "dictionary": lambda items: {"a": {"b": items}},
    "key": lambda items: {(1, Slots(items)): 1},
    "proxy": lambda items: MappingProxyType({"a": items}),
    "set of frozen": lambda items: {Frozen("a", Hashable(items))},
    "frozen dataclass": lambda items: Frozen("a", items),
    "frozen dataclass with slots": lambda items: FrozenSlots(items),
    "frozen model": lambda items: FrozenModel(items=items),
    "plain object": lambda items: Basket(items),
    "object with slots": lambda items: Slots(items),
    "namespace": lambda items: SimpleNamespace(items=items),
    "deque": lambda items: deque([items]),
    "user list": lambda items: UserList([items]),
    "closure": closing_over,
    "default": with_default,
    "bound method": lambda items: Slots(items).use,
    "bound method of a list": lambda items: items.append,
    "partial": lambda items: functools.partial(print, items),
    "partial by keyword": lambda items: functools.partial(print, sep=items),
    "cached closure": lambda items: functools.cache(closing_over(items)),
    "generator": lambda items: (item for item in items),
    "named tuple": lambda items: Point(1, items),
}


class Hashable:
    """Can change, and be in a set."""

    def __init__(self, items: Any) -> None:
        self.items = items


@pytest.fixture
def ownership() -> Ownership:
    return Ownership()


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_whatever_leads_to_another_users_list_is_refused(ownership: Ownership, wrap: Any) -> None:
    alice, carol = ownership.open(), ownership.open()
    rows = [[1], [2]]
    alice.state["rows"] = rows
    with pytest.raises(ContextIsolationError):
        carol.state["mine"] = wrap(rows)
    assert len(carol.state) == 0
    assert ownership.breaches[0].details["owner_path"] == "state['rows']"


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_a_list_given_inside_of_something_is_owned_as_well(ownership: Ownership, wrap: Any) -> None:
    alice, carol = ownership.open(), ownership.open()
    rows = [[1], [2]]
    alice.state["rows"] = wrap(rows)
    assert ownership.owner_of(rows) is alice
    with pytest.raises(ContextIsolationError):
        carol.state["mine"] = rows


def test_what_can_change_though_it_looks_like_a_value_is_owned(ownership: Ownership) -> None:
    for thing in (Labelled("a"), Thawed("a"), FrozenModelWithSecrets(), bytearray(b"a"), Basket()):
        alice, carol = ownership.open(), ownership.open()
        alice.state["it"] = thing
        with pytest.raises(ContextIsolationError):
            carol.state["it"] = thing


def test_what_cannot_change_may_be_shared(ownership: Ownership) -> None:
    now = datetime.now(UTC)
    for thing in (
        *("text", b"bytes", 2**70, 1.5, 1j, True, None, ..., range(9), slice(1), now, now.date(), now.tzinfo),
        *(new_id(), Decimal(1), Colour.RED, Path("/tmp"), re.compile("a"), User, Colour, re, len, str.upper),
        *((1, (2, "a")), frozenset({1}), Point(1, 2), Frozen("a", (1,)), FrozenSlots(()), FrozenModel()),
        *(MappingProxyType({"a": (1,)}), closing_over("a"), with_default(1), "a".upper, list[int]),
        *(Basket.__init__, functools.partial(len, "a"), functools.cache(closing_over(1)), Any),
        *(logging.getLogger("a"), threading.Lock(), threading.RLock(), weakref.ref(ownership), object()),
    ):
        for context in (ownership.open(), ownership.open()):
            context.state["it"] = thing
            assert context.state["it"] is thing
    assert not ownership.breaches


def test_what_is_declared_to_be_shared_may_be(ownership: Ownership) -> None:
    class Client:
        def __init__(self) -> None:
            self.cache: dict[str, str] = {}

    class Special(Client):
        pass

    table: dict[str, int] = {}
    declare_shared(table)
    declare_shared(Client)
    shared = [table, Client(), Special()]
    for _ in range(2):
        ownership.open().state["all"] = list(shared)
    assert not ownership.breaches


def test_plain_containers_are_not_declared_as_a_whole() -> None:
    for kind in (list, dict, set, bytearray, object):
        with pytest.raises(TypeError):
            declare_shared(kind)


def test_the_path_names_the_way_and_no_content(ownership: Ownership) -> None:
    alice, carol = ownership.open(), ownership.open()
    alice.state["rows"] = rows = [1]
    identifier = new_id()
    for value, path in (
        ([0, 0, 0, Basket(rows)], "state['rows'][3].items"),
        (Slots((1, rows)), "state['rows'].items[1]"),
        ({"customer jane.roe@example.org": rows}, "state['rows'][…]"),
        ({"sk_live_51H8abcXYZ99": rows}, "state['rows'][…]"),
        ({identifier: {7: rows}}, f"state['rows'][{identifier}][7]"),
        (MappingProxyType({"a": FrozenModel(items=rows)}), "state['rows']['a'].items"),
        (Slots(rows).use, "state['rows'].__self__.items"),
    ):
        with pytest.raises(ContextIsolationError) as raised:
            carol.state["rows"] = value
        assert ownership.breaches[-1].details["path"] == path
        assert str(carol.user_id) not in raised.value.message
        assert not raised.value.details


def test_a_lazy_object_is_not_made_up_by_looking_at_it(ownership: Ownership) -> None:
    alice, carol = ownership.open(), ownership.open()
    alice.state["rows"] = rows = [1]
    made = []
    lazy = SimpleLazyObject(lambda: made.append(rows))
    with pytest.raises(ContextIsolationError):
        carol.state["lazy"] = {"one": lazy}
    assert not made
    assert ownership.breaches[0].details["path"].startswith("state['lazy']['one']")
