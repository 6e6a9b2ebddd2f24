"""The answer to an SQL query, safe to write as JSON."""

import math
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

TEXT_LIMIT = 2000
"""Characters of a text cell that are kept."""
TEXT_TOTAL_LIMIT = 250_000
"""Characters of an answer's cells together; the rows after that are left out."""


class QueryColumn(BaseModel):
    """A column of a query's answer."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str
    """Name."""
    type: str
    """DuckDB type."""


class QueryResult(BaseModel):
    """What a query answered."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    columns: tuple[QueryColumn, ...]
    """The columns, in order."""
    rows: tuple[tuple[Any, ...], ...]
    """The rows: numbers, texts, booleans and nulls; decimals, times, lists and objects as text."""
    row_count: int
    """Rows given here."""
    truncated: bool
    """Whether there were more rows."""


class RowCutter:
    """Keeps the first rows of an answer, safe for JSON, as many as `TEXT_TOTAL_LIMIT` characters hold."""

    def __init__(self, *, max_rows: int) -> None:
        """Keep at most `max_rows`."""
        self.rows: list[tuple[Any, ...]] = []
        """What is kept."""
        self.is_full = False
        """Whether a row was left out, and so are all that follow."""
        self._max_rows = max_rows
        self._characters = 0

    def add(self, rows: Sequence[Sequence[Any]]) -> None:
        """Keep of `rows`, the next ones, what has room."""
        for row in rows:
            safe = tuple(make_json_safe(value) for value in row)
            self._characters += sum(len(str(value)) for value in safe)
            self.is_full |= len(self.rows) >= self._max_rows or self._characters > TEXT_TOTAL_LIMIT
            if self.is_full:
                return
            self.rows.append(safe)


def make_json_safe(value: Any) -> Any:
    """Turn a value from DuckDB into one that JSON can express; texts are cut to `TEXT_LIMIT` characters."""
    match value:
        case None | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case str():
            return value if len(value) <= TEXT_LIMIT else value[:TEXT_LIMIT] + "…"
        case datetime() | date() | time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case Decimal() | UUID():
            return str(value)
        case bytes() | bytearray() | memoryview():
            return make_json_safe(bytes(value).hex())
        case dict():
            return {str(key): make_json_safe(inner) for key, inner in value.items()}
        case list() | tuple() | set():
            return [make_json_safe(inner) for inner in value]
        case _:
            return make_json_safe(str(value))
