"""Data as PostgreSQL can keep it: JSON-like, without NUL characters and halves of surrogate pairs."""

from typing import Any, TypeVar

T = TypeVar("T")


def storable(data: T) -> T:
    """Return `data` with every character that `text` and `jsonb` refuse replaced by U+FFFD."""
    cleaned: T = _clean(data)
    return cleaned


def _clean(value: Any) -> Any:
    match value:
        case str():
            if "\0" in value:
                value = value.replace("\0", "\ufffd")
            try:
                value.encode()
            except UnicodeEncodeError:
                value = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            return value
        case dict():
            return {_clean(key): _clean(item) for key, item in value.items()}
        case list() | tuple():
            return [_clean(item) for item in value]
        case _:
            return value
