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


def walk(value: Any, path: str, *, nesting: int = 0) -> Iterator[tuple[str, Any]]:
    """Yield each object that plain containers in `value` reach, with the path to it.

    Ends at 51 levels; `contexts.frozen.freeze` refuses what is nested deeper.
    """
    if type(value) in PLAIN_VALUES:
        return
    yield path, value
    if nesting > MAX_NESTING:
        return
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from walk(item, f"{path}[{label(key)}]", nesting=nesting + 1)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for number, item in enumerate(value):
            yield from walk(item, f"{path}[{number}]", nesting=nesting + 1)


def _is_another(stated: object, owner: UUID) -> bool:
    if isinstance(stated, str):
        try:
            stated = UUID(stated)
        except ValueError:
            return False
    return isinstance(stated, UUID) and stated != owner
