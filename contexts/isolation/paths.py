"""Paths to objects, such as `state['rows'][3].items`, in words that give no content away."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from contexts.isolation.reach import held_by
from contexts.isolation.sharing import DATA
from contexts.labels import is_name, label


def path_to(target: Any, root: Any, start: str, *, limit: int) -> str:
    """Return a shortest path from `root`, called `start`, to `target`; `start…` if none is found.

    Looks at up to `limit` objects.
    """
    holders: dict[int, Any] = {id(root): None}
    queue = [root]
    for thing in queue:
        if thing is target:
            break
        if type(thing) in DATA:
            continue
        for other in held_by(thing):
            if len(queue) < limit and id(other) not in holders:
                holders[id(other)] = thing
                queue.append(other)
    else:
        return f"{start}…"
    line = [target]
    while line[-1] is not root:
        line.append(holders[id(line[-1])])
    return start + "".join(_steps(line[::-1]))


def _steps(line: list[Any]) -> list[str]:
    steps = []
    for number, (holder, held) in enumerate(pairwise(line)):
        if held is _attribute(holder, "__dict__"):
            continue  # the step after it says `.name`
        owner = line[number - 1] if number else None
        steps.append(_step(owner if holder is _attribute(owner, "__dict__") else holder, held))
    return steps


def _step(holder: Any, held: Any) -> str:
    if issubclass(type(holder), Mapping):
        for key, value in list(holder.items()):
            if value is held:
                return f"[{label(key)}]"
        return ".keys()"
    if issubclass(type(holder), (list, tuple)):
        return next((f"[{number}]" for number, item in enumerate(list(holder)) if item is held), "[…]")
    for name in _attribute_names(holder):
        if _attribute(holder, name) is held:
            return f".{name}"
    return ".…"


def _attribute_names(thing: Any) -> list[str]:
    names = [
        name
        for name in (*(_attribute(thing, "__dict__") or ()), *_slots(type(thing)))
        if isinstance(name, str) and is_name(name)
    ]
    return [*names, "__self__", "__func__", "__wrapped__", "args"]


def _attribute(thing: Any, name: str) -> Any:
    """Return an attribute as it is stored: asking a lazy object for one might make it up."""
    try:
        return object.__getattribute__(thing, name)
    except AttributeError:
        return None


def _slots(kind: type) -> list[str]:
    slots: list[str] = []
    for base in kind.__mro__:
        stated = base.__dict__.get("__slots__", ())
        slots += [stated] if isinstance(stated, str) else list(stated)
    return slots
