"""Deep, immutable copies of plain data, for what an execution context carries."""

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from types import MappingProxyType
from typing import Any
from uuid import UUID

from contexts.exceptions import InvalidContextError

MAX_NESTING = 50
EMPTY: Mapping[str, Any] = MappingProxyType({})
# Exact types only: an instance of a subclass may carry attributes that change.
PLAIN_VALUES = frozenset(
    (
        *(str, bytes, int, float, complex, bool, type(None)),
        *(UUID, datetime, date, time, timedelta, timezone, Decimal),
    )
)


def freeze(value: Any) -> Any:
    """Return an immutable deep copy of plain data: mappings with string keys, sequences, sets, values.

    Raises:
        TypeError: for an object whose immutability cannot be established.
        InvalidContextError: when it is nested deeper than 50 levels, or contains itself.
    """
    return value if type(value) in PLAIN_VALUES else _freeze(value, 0, {})


def _freeze(value: Any, nesting: int, known: dict[int, tuple[Any, Any]]) -> Any:
    """Freeze `value`; what it holds several times is frozen once, and kept in `known` with its copy."""
    if type(value) in PLAIN_VALUES or isinstance(value, Enum):
        return value
    if nesting > MAX_NESTING:
        raise InvalidContextError(f"The data of a context nest at most {MAX_NESTING} deep.")
    if id(value) in known:
        return known[id(value)][1]
    frozen: Any
    if isinstance(value, Mapping):
        frozen = EMPTY
        if value:
            items = {_key(key): _freeze(item, nesting + 1, known) for key, item in value.items()}
            frozen = MappingProxyType(items)
    elif isinstance(value, (list, tuple)):
        frozen = tuple([_freeze(item, nesting + 1, known) for item in value])
    elif isinstance(value, (set, frozenset)):
        frozen = frozenset([_freeze(item, nesting + 1, known) for item in value])
    elif isinstance(value, str):  # of a subclass, as the next two: its plain value
        return str.__str__(value)
    elif isinstance(value, int):
        return int.__pos__(value)
    elif isinstance(value, float):
        return float.__pos__(value)
    else:
        raise TypeError(f"A context takes plain data only, not {type(value).__name__}.")
    known[id(value)] = (value, frozen)
    return frozen


def thaw(value: Any) -> Any:
    """Return frozen data as JSON knows them: dictionaries, lists, strings, numbers, true, false and null."""
    if isinstance(value, Enum):
        return thaw(value.value)
    if value is None or type(value) in (str, int, float, bool):
        return value
    if isinstance(value, Mapping):
        return {key: thaw(item) for key, item in value.items()}
    if isinstance(value, (tuple, list, frozenset, set)):
        return [thaw(item) for item in value]
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    return value.hex() if isinstance(value, bytes) else str(value)


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise TypeError(f"The keys of a context's data are strings, not {type(key).__name__}.")
    return key if type(key) is str else str.__str__(key)
