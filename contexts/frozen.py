"""Deep, immutable copies of plain data, for what an execution context carries."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

_IMMUTABLE = (str, bytes, int, float, complex, bool, type(None))


def freeze(value: Any) -> Any:
    """Return an immutable deep copy of JSON-like data: mappings, lists, tuples, sets and scalars.

    Raises:
        TypeError: for an object whose immutability cannot be established.
    """
    if isinstance(value, Mapping):
        return MappingProxyType({str(key): freeze(item) for key, item in value.items()})
    if isinstance(value, (list, tuple)):
        return tuple(freeze(item) for item in value)
    if isinstance(value, (set, frozenset)):
        return frozenset(freeze(item) for item in value)
    if isinstance(value, _IMMUTABLE) or _is_value(value):
        return value
    raise TypeError(f"A context takes plain data only, not {type(value).__name__}.")


def thaw(value: Any) -> Any:
    """Return frozen data as the dictionaries and lists that JSON knows."""
    if isinstance(value, Mapping):
        return {key: thaw(item) for key, item in value.items()}
    if isinstance(value, (tuple, list, frozenset, set)):
        return [thaw(item) for item in value]
    return value if isinstance(value, _IMMUTABLE) else str(value)


def _is_value(value: object) -> bool:
    return type(value).__module__ in {"uuid", "datetime", "decimal", "enum"}
