"""What an audit entry may say: bounded JSON-like details without secrets."""

import math
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

from contexts.redaction import REDACTED, is_secret_name, redact_text

TEXT_LIMIT = 200
"""Characters of a text that are kept."""
NAME_LIMIT = 64
"""Characters of a name that are kept."""
DEPTH_LIMIT = 6
"""How deep details may be nested."""
SIZE_LIMIT = 8_000
"""Characters of all the names and values of an entry together."""
CUT = "[cut]"
"""Stands for what was left out because it is too long, too many or too deep."""

# Longer texts are cut before they are searched for secrets, so that this takes bounded time.
_SEARCHED = 20 * TEXT_LIMIT
_PRINTED_AS_TEXT = (UUID, Decimal, date, datetime, time, timedelta, PurePath)


def audit_details(details: Mapping[str, Any]) -> dict[str, Any]:
    """Return `details` as an entry may keep them.

    A value whose name looks secret and a part of a text that looks like a secret are `[redacted]`, what
    is too long, too many or too deep is `[cut]`. What is not JSON becomes its text when it is a plain
    value, and the name of its type otherwise, because an object's text may tell anything.
    """
    return _Cleaner().mapping(details, depth=0)


class _Cleaner:
    """Cleans one entry's details, and counts how much they take."""

    def __init__(self) -> None:
        self._left = SIZE_LIMIT

    def mapping(self, data: Mapping[Any, Any], *, depth: int) -> dict[str, Any]:
        cleaned: dict[str, Any] = {}
        for key, value in data.items():
            if self._left <= 0:
                cleaned[CUT] = len(data) - len(cleaned)
                break
            key = str(key)[:_SEARCHED]
            value = REDACTED if is_secret_name(key, value) else self._value(value, depth=depth)
            cleaned[self._text(key, NAME_LIMIT)] = value
        return cleaned

    def _items(self, data: Iterable[Any], *, depth: int) -> list[Any]:
        cleaned: list[Any] = []
        for value in data:
            if self._left <= 0:
                cleaned.append(CUT)
                break
            cleaned.append(self._value(value, depth=depth))
        return cleaned

    def _value(self, value: Any, *, depth: int) -> Any:
        self._left -= 4
        if isinstance(value, Enum):
            value = value.value
        match value:
            case None | bool():
                return value
            case int():
                # What no 64 bits hold is no figure of ours, and its digits may be without end.
                return int(value) if value.bit_length() < 64 else f"[integer of {value.bit_length()} bits]"
            case float():
                return float(value) if math.isfinite(value) else str(float(value))
            case str():
                return self._text(value, TEXT_LIMIT)
            case bytes() | bytearray() | memoryview():
                return f"[{len(value)} bytes]"
            case Mapping() | list() | tuple() | set() | frozenset() if depth >= DEPTH_LIMIT:
                return CUT
            case Mapping():
                return self.mapping(value, depth=depth + 1)
            case set() | frozenset():
                return sorted(self._items(value, depth=depth + 1), key=repr)
            case list() | tuple():
                return self._items(value, depth=depth + 1)
            case _ if isinstance(value, _PRINTED_AS_TEXT):
                return self._text(str(value), TEXT_LIMIT)
            case _:
                return self._text(f"[{type(value).__name__}]", TEXT_LIMIT)

    def _text(self, text: str, limit: int) -> str:
        cleaned = redact_text(_storable(text[:_SEARCHED]))
        if len(cleaned) > limit or len(text) > _SEARCHED:
            cleaned = cleaned[: limit - 1] + "…"
        self._left -= len(cleaned)
        return cleaned


def _storable(text: str) -> str:
    """Return `text` without what PostgreSQL's text and jsonb refuse: NUL and halves of surrogate pairs."""
    return text.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
