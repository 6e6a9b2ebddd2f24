"""Finding what belongs to someone else in the data given to a context."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from uuid import UUID

from contexts.frozen import MAX_NESTING, PLAIN_VALUES
from contexts.labels import label

_OWNERS = ("user_id", "tenant_id")


def find_foreign(value: Any, *, user_id: UUID, tenant_id: UUID, path: str) -> str | None:
    """Return the path to the first thing in `value` that says it is another user's or tenant's.

    It says so by an attribute `user_id` or `tenant_id`, as records and contexts have, or, within
    `value`, by such a key.
    """
    owners = {"user_id": user_id, "tenant_id": tenant_id}
    for place, found in walk(value, path):
        for name, owner in owners.items():
            if isinstance(found, Mapping):
                stated = found.get(name) if found is not value else None
            else:
                stated = getattr(found, name, None)
            if _is_another(stated, owner):
                return place
    return None


def find_owned(value: Any, is_foreign: Callable[[Any], bool], *, path: str) -> tuple[str, Any] | None:
    """Return path and object of the first thing in `value` of which `is_foreign` is true."""
    return next(((place, found) for place, found in walk(value, path) if is_foreign(found)), None)


def walk(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield each object that plain containers in `value` reach, once, with a path to it.

    Ends at 51 levels; `contexts.frozen.freeze` refuses what is nested deeper.
    """
    seen: dict[int, Any] = {}  # keeps what it has seen, so that no id is another's
    waiting = [(value, path, 0)]
    while waiting:
        thing, place, nesting = waiting.pop()
        if type(thing) in PLAIN_VALUES or id(thing) in seen:
            continue
        seen[id(thing)] = thing
        yield place, thing
        if nesting > MAX_NESTING:
            continue
        if isinstance(thing, Mapping):
            items = [(item, f"{place}[{label(key)}]", nesting + 1) for key, item in thing.items()]
        elif isinstance(thing, (list, tuple, set, frozenset)):
            items = [(item, f"{place}[{number}]", nesting + 1) for number, item in enumerate(thing)]
        else:
            continue
        waiting.extend(reversed(items))


def _is_another(stated: object, owner: UUID) -> bool:
    if isinstance(stated, str):
        try:
            stated = UUID(stated)
        except ValueError:
            return False
    return isinstance(stated, UUID) and stated != owner
