"""The texts in what is about to leave, and the identifiers in them."""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from contexts.labels import label

_DIGITS = 32
# Matched after dashes are taken away, which the forms of a UUID differ in.
_RUN = re.compile(r"[0-9A-Fa-f]{32,}")
_WITHOUT_TEXT = frozenset((int, float, bool, type(None)))


def texts_of(payload: Any) -> list[str]:
    """Return every string in JSON-like data, keys too; other objects as the text that stands for them.

    Raises:
        RecursionError: when the data contain themselves, or nest too deep to be written as JSON.
    """
    if isinstance(payload, str):
        return [payload]
    texts: list[str] = []
    _collect(payload, texts)
    return texts


def hex_runs(text: str) -> list[str]:
    """Return what in `text` is long enough to hold an identifier, without dashes."""
    return _RUN.findall(text.replace("-", ""))


def identifiers_in(text: str) -> Iterator[int]:
    """Yield each number that a UUID in `text` may be: with dashes or without, in any letter case.

    Digits that stand right before or after it hide nothing.
    """
    for run in hex_runs(text):
        for start in range(len(run) - _DIGITS + 1):
            yield int(run[start : start + _DIGITS], 16)


def places_of(payload: Any, path: str = "$") -> Iterator[tuple[str, str]]:
    """Yield each text in JSON-like data with the path to it; a key's is that of what it is the key of."""
    if isinstance(payload, Mapping):
        for key, item in payload.items():
            inner = f"{path}[{label(key)}]"
            yield from places_of(key, inner)
            yield from places_of(item, inner)
    elif isinstance(payload, (list, tuple, set, frozenset)):
        for number, item in enumerate(payload):
            yield from places_of(item, f"{path}[{number}]")
    elif type(payload) not in _WITHOUT_TEXT:
        yield path, _text_of(payload)


def _collect(payload: Any, texts: list[str]) -> None:
    kind = type(payload)
    if kind is str:
        texts.append(payload)
    elif kind in _WITHOUT_TEXT:
        return
    # An exact type is told faster than by asking the abstract one.
    elif kind is dict or isinstance(payload, Mapping):
        for key, item in payload.items():
            _collect(key, texts)
            _collect(item, texts)
    elif kind is list or isinstance(payload, (tuple, set, frozenset, list)):
        for item in payload:
            _collect(item, texts)
    else:
        texts.append(_text_of(payload))


def _text_of(thing: Any) -> str:
    if isinstance(thing, UUID):
        return thing.hex
    if isinstance(thing, (bytes, bytearray, memoryview)):
        return bytes(thing).decode("latin-1")
    return str(thing)
