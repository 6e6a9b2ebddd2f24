"""The dotted names of fields within fields of a JSON object, and DuckDB's paths to them."""

from collections.abc import Iterator
from typing import Any

_DEPTH_LIMIT = 4


def flatten_names(value: Any, *, depth: int = _DEPTH_LIMIT) -> Iterator[tuple[str, str]]:
    """Yield the dotted name and the path of every field of `value`, objects inside it included to `depth`."""
    if not isinstance(value, dict):
        return
    for key, inner in value.items():
        if '"' in key or not key:
            continue  # No usual name has a quote, and DuckDB's paths cannot express one.
        yield key, f'$."{key}"'
        if isinstance(inner, dict) and depth > 1:
            for name, path in flatten_names(inner, depth=depth - 1):
                yield f"{key}.{name}", f'$."{key}"{path.removeprefix("$")}'
