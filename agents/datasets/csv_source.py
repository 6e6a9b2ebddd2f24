"""CSV files: separator, header and faults."""

# ruff: noqa: S608 (the SQL is made of our own names and numbers; other text is quoted or a parameter)

import csv
import io
import json
import re
from pathlib import Path

from contexts.exceptions import InvalidDatasetError

from .connection import quote_name, quote_path, quote_text
from .json_names import flatten_names
from .names import FieldNames

_SEPARATORS = ",;\t|"
_SAMPLE_ROWS = 50


class CsvSource:
    """A CSV file with a header."""

    def __init__(self, path: Path, head: str) -> None:
        """Learn separator and columns from `head`, the start of the file's text.

        Raises:
            InvalidDatasetError: Its first lines are no CSV.

        """
        self._path = path
        first_line = next(line for line in head.splitlines() if line.strip())
        self._separator = max(_SEPARATORS, key=first_line.count)
        reader = csv.reader(io.StringIO(head, newline=""), delimiter=self._separator)
        try:
            header = next((row for row in reader if any(cell.strip() for cell in row)), None)
            if header is None:
                raise InvalidDatasetError("The file's first lines are no CSV: they name no column.")
            self._header_lines = reader.line_num
            sample = [row for row, _ in zip(reader, range(_SAMPLE_ROWS), strict=False) if row]
        except csv.Error as error:
            raise InvalidDatasetError(f"The file's first lines are no CSV: {error}.") from error
        self._columns = [name.strip() for name in header]
        self._positions: dict[str, int] = {}
        for position, name in enumerate(self._columns):
            self._positions.setdefault(name, position)
        self._nested = self._find_nested(sample)
        self.names = FieldNames([*self._columns, *self._nested])

    def _find_nested(self, sample: list[list[str]]) -> dict[str, tuple[str, str]]:
        """Find cells that hold JSON objects: dotted name to column and path inside it."""
        nested: dict[str, tuple[str, str]] = {}
        for row in sample:
            for column, cell in zip(self._columns, row, strict=False):
                if cell.startswith("{"):
                    try:
                        value = json.loads(cell)
                    except (ValueError, RecursionError):
                        continue  # A cell is free to start with a brace; then it is plain text.
                    for name, path in flatten_names(value):
                        nested[f"{column}.{name}"] = (column, path)
        return nested

    def rows_sql(self) -> str:
        """Return SQL that yields `row_number` and one VARCHAR for each column."""
        columns = ", ".join(
            f"{quote_text(f'c{position}')}: 'VARCHAR'" for position in range(len(self._columns))
        )
        return (
            f"SELECT row_number() OVER () AS row_number, * FROM read_csv({quote_path(str(self._path))}, "
            f"auto_detect=false, header=false, skip={self._header_lines}, "
            f"delim={quote_text(self._separator)}, "
            f"quote='\"', escape='\"', compression='none', columns={{{columns}}})"
        )

    def field_sql(self, name: str) -> str:
        """Return SQL for the field `name` as VARCHAR."""
        if name in self._positions:
            return quote_name(f"c{self._positions[name]}")
        column, path = self._nested[name]
        cell = quote_name(f"c{self._positions[column]}")
        return f"json_extract_string(TRY_CAST({cell} AS JSON), {quote_text(path)})"

    def explain(self, message: str) -> str:
        """Turn DuckDB's error `message` into one sentence that names the line."""
        line = re.search(r"CSV Error on Line: (\d+)", message)
        where = f"Line {line[1]}" if line else "A line"
        columns = re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", message)
        if columns:
            return f"{where} has {columns[2]} fields where the header has {columns[1]}."
        if "unicode" in message.lower():
            return f"{where} is not in UTF-8."
        if "unterminated quote" in message:
            return f"{where} opens a quote that is never closed."
        if "aximum line size" in message:
            return f"{where} is longer than 2 MB."
        return f"{where} is no valid CSV."
