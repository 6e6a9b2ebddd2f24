"""Cutting JSON-like data to a size, so that what is left has its shape and says what is missing."""

from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json

_FEWEST_ITEMS = 3
_SHORTEST_TEXT = 40
_LEAST_DEPTH = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """How much of data is kept."""

    size: int
    """Bytes of JSON in all."""
    text: int
    """Characters of a text or name, at first; fewer where all of it is still too large."""
    items: int
    """Items of a list, and fields of an object, at first."""
    depth: int = 64
    """How deep it may be nested, at first."""


def cut(data: Any, measure: Measure) -> Any:
    """Return `data` within `measure`; a text, list or object that lost something ends with how much.

    What is within the measure is returned as it is. Takes time in proportion to the data.
    """
    text, items, depth = measure.text, measure.items, measure.depth
    while True:
        shortened = _shorten(data, text, items, depth)
        if len(to_json(shortened, inf_nan_mode="null")) <= measure.size or text <= _SHORTEST_TEXT:
            return shortened
        # Rows are missed less than half of each text.
        text = max(text // 4, _SHORTEST_TEXT)
        items = max(items // 4, _FEWEST_ITEMS)
        depth = max(depth // 4, _LEAST_DEPTH)


def cut_text(text: str, length: int) -> str:
    """Return the first `length` characters of `text` and, if there are more, how many."""
    return text if len(text) <= length else f"{text[:length]} {_missing(len(text) - length, 'character')}"


def _shorten(value: Any, text: int, items: int, depth: int) -> Any:
    match value:
        case str():
            return cut_text(value, text)
        case dict() | list() if depth == 0:
            return _missing(len(value), "item")
        case dict():
            shown = list(value.items())[:items]
            shortened = {
                cut_text(str(name), text): _shorten(item, text, items, depth - 1) for name, item in shown
            }
            if len(value) > len(shown):
                shortened["…"] = _missing(len(value) - len(shown), "field")
            return shortened
        case list():
            cut_list = [_shorten(item, text, items, depth - 1) for item in value[:items]]
            if len(value) > items:
                cut_list.append(_missing(len(value) - items, "item"))
            return cut_list
        case _:
            return value


def _missing(count: int, noun: str) -> str:
    return f"… {count:,} more {noun}{'' if count == 1 else 's'}"
