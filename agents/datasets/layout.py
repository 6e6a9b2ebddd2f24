"""What a format knows: how to recognise its fields, and which raw field fills which canonical column."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from .names import FieldNames

FieldSql = Callable[[str], str]
"""Gives the SQL of a raw field (a VARCHAR, or NULL) by the name it has in the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How the raw fields of one file fill the canonical columns."""

    format: str
    """Stable name of the format."""
    columns: Mapping[str, tuple[str, ...]]
    """For each canonical column the raw fields that may fill it; the first that is not empty does."""
    time_is_relative: bool = False
    """Whether times are milliseconds since the log's own start."""
    skip_rows_where: tuple[str, str] | None = None
    """A raw field and the text (compared in lower case) with which a row is left out."""
    skip_note: str = ""
    """Sentence that tells how many rows were left out; `{rows}` stands for their number."""
    notes: tuple[str, ...] = field(default=())
    """Sentences for the reader of any analysis."""


Recogniser = Callable[[FieldNames], Layout | None]
"""Gives the layout of a file with these fields, or None when it is of another format."""
