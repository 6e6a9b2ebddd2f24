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


def freeze(value: Any, *, nesting: int = 0) -> Any:
    """Return an immutable deep copy of plain data: mappings with string keys, sequences, sets, values.

    Raises:
        TypeError: for an object whose immutability cannot be established.
        InvalidContextError: when it is nested deeper than 50 levels, or contains itself.
    """
    if type(value) in PLAIN_VALUES or isinstance(value, Enum):
        return value
    if nesting > MAX_NESTING:
        raise InvalidContextError(f"The data of a context nest at most {MAX_NESTING} deep.")
    if isinstance(value, Mapping):
        if not value:
            return EMPTY
        return MappingProxyType({_key(key): freeze(item, nesting=nesting + 1) for key, item in value.items()})
    if isinstance(value, (list, tuple)):
        return tuple(freeze(item, nesting=nesting + 1) for item in value)
    if isinstance(value, (set, frozenset)):
        return frozenset(freeze(item, nesting=nesting + 1) for item in value)
    if isinstance(value, str):  # of a subclass, as the next two: its plain value
        return str.__str__(value)
    if isinstance(value, int):
        return int.__pos__(value)
    if isinstance(value, float):
        return float.__pos__(value)
    raise TypeError(f"A context takes plain data only, not {type(value).__name__}.")


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
