"""A file of unknown format as rows of named text fields, whether it is CSV or any shape of JSON."""

import codecs
from pathlib import Path
from typing import Protocol

from contexts.exceptions import InvalidDatasetError

from .names import FieldNames

HEAD_BYTES = 1 << 20
"""Bytes read from the start of a file to learn what it is."""


class Source(Protocol):
    """Rows of named text fields, readable by DuckDB."""

    names: FieldNames
    """The fields; a field within a field is named with dots."""

    def rows_sql(self) -> str:
        """Return SQL that yields `row_number` and what `field_sql` refers to, in the file's order."""
        ...

    def field_sql(self, name: str) -> str:
        """Return SQL for one of `names` as VARCHAR, over the rows of `rows_sql`."""
        ...

    def explain(self, message: str) -> str:
        """Turn DuckDB's error `message` about this file into one sentence that says where the fault is."""
        ...


def read_head(path: Path) -> str:
    """Read the first `HEAD_BYTES` of the text file `path`, without its byte order mark.

    Raises:
        InvalidDatasetError: It is empty, or holds no text in UTF-8.

    """
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise InvalidDatasetError(f"The file cannot be read: {error.strerror}.") from error
    if not head.removeprefix(codecs.BOM_UTF8).strip():
        raise InvalidDatasetError("The file is empty.")
    if b"\0" in head:
        raise InvalidDatasetError(
            "The file is no text: a usage log has to be CSV, JSON or JSON Lines in UTF-8."
        )
    try:
        # An incremental decoder, because the head may end in the middle of a character.
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(head)
    except UnicodeDecodeError as error:
        raise InvalidDatasetError(
            f"The file is not in UTF-8 (byte {error.start + 1}): a usage log has to be CSV, JSON or JSON "
            "Lines in "
            "UTF-8."
        ) from error
    if not text.strip():
        # Other alphabets have blanks of their own.
        raise InvalidDatasetError("The file is empty.")
    return text


def open_source(path: Path) -> Source:
    """Find out whether `path` holds CSV or JSON, and which fields.

    Raises:
        InvalidDatasetError: It is empty, no UTF-8 text, or neither CSV nor JSON.

    """
    from .csv_source import CsvSource
    from .json_source import JsonSource

    head = read_head(path)
    if head.lstrip()[0] in "{[":
        return JsonSource(path, head)
    return CsvSource(path, head)
