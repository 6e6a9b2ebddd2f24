"""What a value leads to, as the garbage collector sees it."""

import types
from collections.abc import Callable
from functools import partial
from gc import get_referents
from sys import getsizeof
from typing import Any, NamedTuple

from contexts.context import UserExecutionContext
from contexts.isolation.sharing import (
    CACHED_FUNCTION,
    CONTEXT,
    DATA,
    LOOK_THROUGH,
    OWNED,
    VALUE,
    frozen_values,
    sharing_of,
)

MEASURED = 1_000_000
"""Objects whose size is added up."""


class Reach(NamedTuple):
    """What a value leads to."""

    owned: list[Any]
    """Objects that can change."""
    contexts: list[UserExecutionContext]
    """Execution contexts of whomever."""
    size: int
    """About how many bytes all of it takes."""
    is_complete: bool
    """Whether there is nothing beyond."""


def reach(value: Any, *, limit: int) -> Reach:
    """Walk everything that `value` leads to, nearest first, up to `limit` objects.

    Execution contexts and what may be shared are not walked into.
    """
    owned: list[Any] = []
    contexts: list[UserExecutionContext] = []
    size = 0
    is_complete = True
    seen = {id(value)}
    # Keeps all of it alive meanwhile, so that an id stands for one object only.
    queue = [value]
    for thing in queue:
        if type(thing) in DATA:
            size += getsizeof(thing)
            continue
        sharing = sharing_of(thing)
        if sharing is VALUE:
            continue
        if sharing is CONTEXT:
            contexts.append(thing)
            continue
        size += getsizeof(thing)
        if sharing is OWNED:
            owned.append(thing)
            held = get_referents(thing)
        else:
            held = _look_through(thing)
        for other in held:
            if (key := id(other)) not in seen:
                if len(queue) >= limit:
                    is_complete = False
                    break
                seen.add(key)
                queue.append(other)
    return Reach(owned, contexts, size, is_complete)


def size_of(value: Any) -> int:
    """Return about how many bytes `value` takes with all that it leads to, the nearest 1,000,000 objects."""
    return reach(value, limit=MEASURED).size


def held_by(thing: Any) -> list[Any]:
    """Return what `thing` itself holds; nothing for what is not looked into."""
    sharing = sharing_of(thing)
    if sharing is OWNED:
        return get_referents(thing)
    return _look_through(thing) if sharing is LOOK_THROUGH else []


def _look_through(thing: Any) -> list[Any]:
    look = _LOOKS.get(type(thing))
    if look is not None:
        return look(thing)
    if isinstance(thing, (tuple, frozenset, *_LOOKS)):
        return get_referents(thing)
    return frozen_values(thing)


def _held_by_proxy(proxy: Any) -> list[Any]:
    held = get_referents(proxy)
    return get_referents(held[0]) if type(held[0]) is dict else held


def _held_by_function(function: Any) -> list[Any]:
    held = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    for cell in function.__closure__ or ():
        held += get_referents(cell)
    return [*held, *function.__dict__.values()]


def _held_by_partial(call: Any) -> list[Any]:
    return [call.func, *call.args, *call.keywords.values()]


def _self_of(method: Any) -> list[Any]:
    return [method.__self__]


def _wrapped_by(cached: Any) -> list[Any]:
    return [cached.__wrapped__]


_LOOKS: dict[type, Callable[[Any], list[Any]]] = {
    types.MappingProxyType: _held_by_proxy,
    types.FunctionType: _held_by_function,
    types.BuiltinFunctionType: _self_of,
    types.MethodWrapperType: _self_of,
    types.MethodType: get_referents,
    partial: _held_by_partial,
    CACHED_FUNCTION: _wrapped_by,
    property: get_referents,
    staticmethod: get_referents,
    classmethod: get_referents,
    slice: get_referents,
}
