"""JSON files: lists, JSON Lines, single documents, and pages of usage buckets."""

# ruff: noqa: S608 (the SQL is made of our own names and numbers; other text is quoted or a parameter)

import json
from pathlib import Path
from typing import Any

import duckdb

from contexts.exceptions import InvalidDatasetError

from .connection import open_connection, quote_path, quote_text
from .json_names import flatten_names
from .names import FieldNames

_SAMPLE_OBJECTS = 500
_DOCUMENT_BYTES_LIMIT = 64 << 20
_OBJECT_BYTES_LIMIT = 16 << 20
_NESTED_TOO_DEEPLY = "The JSON is nested too deeply."


class JsonSource:
    """A file of JSON objects, each a row, a page of rows, or a bucket of rows."""

    def __init__(self, path: Path, head: str) -> None:
        """Learn shape and fields from the first objects of the file, whose text starts with `head`.

        Raises:
            InvalidDatasetError: It is no valid JSON, nested too deeply, or holds no objects.

        """
        self._path = path
        self._container = self._find_container(head)
        sample = self._read_sample()
        self._is_paged = any(isinstance(value.get("data"), list) for value in sample)
        items = [item for value in sample for item in value["data"]] if self._is_paged else sample
        items = [item for item in items if isinstance(item, dict)]
        self._is_bucketed = any(isinstance(item.get("results"), list) for item in items)
        if self._is_bucketed:
            buckets = items
            items = [
                row for bucket in buckets for row in bucket.get("results") or () if isinstance(row, dict)
            ]
            self._bucket_paths = {
                name: path for bucket in buckets for name, path in flatten_names(bucket, depth=1)
            }
        else:
            self._bucket_paths = {}
        if not items:
            raise InvalidDatasetError("The file holds no rows.")
        self._paths = {name: path for item in items for name, path in flatten_names(item)}
        self.names = FieldNames(
            [*self._paths, *(name for name in self._bucket_paths if name not in self._paths)]
        )

    def _find_container(self, head: str) -> str:
        if head.lstrip().startswith("["):
            return "array"
        first_line = head.lstrip().split("\n", 1)[0]
        try:
            json.loads(first_line)
        except RecursionError as error:
            raise InvalidDatasetError(_NESTED_TOO_DEEPLY) from error
        except ValueError:
            if self._path.stat().st_size > _DOCUMENT_BYTES_LIMIT and len(first_line) < len(head.lstrip()):
                raise InvalidDatasetError(
                    f"The JSON document is larger than {_DOCUMENT_BYTES_LIMIT >> 20} MB; write one object a "
                    "line."
                ) from None
            return "unstructured"
        return "newline_delimited"

    def _documents_sql(self) -> str:
        size = _DOCUMENT_BYTES_LIMIT if self._container == "unstructured" else _OBJECT_BYTES_LIMIT
        return (
            f"SELECT json AS document FROM read_json_objects({quote_path(str(self._path))}, "
            f"format={quote_text(self._container)}, compression='none', maximum_object_size={size})"
        )

    def _read_sample(self) -> list[dict[str, Any]]:
        with open_connection(memory_limit_bytes=512 << 20) as connection:
            try:
                texts = connection.execute(f"{self._documents_sql()} LIMIT {_SAMPLE_OBJECTS}").fetchall()
            except duckdb.Error as error:
                raise InvalidDatasetError(self.explain(str(error))) from error
        try:
            values = [json.loads(text) for (text,) in texts]
        except RecursionError as error:
            raise InvalidDatasetError(_NESTED_TOO_DEEPLY) from error
        except ValueError as error:  # a number of more digits than Python reads
            raise InvalidDatasetError(f"The file has a value that cannot be read: {error}.") from error
        for number, value in enumerate(values, start=1):
            if not isinstance(value, dict):
                raise InvalidDatasetError(f"Row {number} is no JSON object, so it has no named fields.")
        if not values:
            raise InvalidDatasetError("The file holds no rows.")
        return values

    def rows_sql(self) -> str:
        """Return SQL that yields `row_number`, the texts of all fields, and those of its bucket."""
        rows = self._documents_sql()
        if self._is_paged:
            rows = f"SELECT unnest(json_extract(document, '$.data[*]')) AS document FROM ({rows})"
        bucket = "NULL"
        if self._is_bucketed:
            results = "unnest(json_extract(document, '$.results[*]'))"
            rows = f"SELECT {results} AS document, document AS bucket FROM ({rows})"
            bucket = f"json_extract_string(bucket, {_list(self._bucket_paths)})"
        return (
            f"SELECT row_number() OVER () AS row_number, json_extract_string(document, {_list(self._paths)}) "
            f"AS texts, {bucket} AS bucket_texts FROM ({rows})"
        )

    def field_sql(self, name: str) -> str:
        """Return SQL for the field `name` as VARCHAR."""
        if name in self._paths:
            return f"texts[{list(self._paths).index(name) + 1}]"
        return f"bucket_texts[{list(self._bucket_paths).index(name) + 1}]"

    def explain(self, message: str) -> str:
        """Turn DuckDB's error `message` into one sentence that names the line."""
        if "maximum_object_size" in message:
            return f"The file holds an object of more than {_OBJECT_BYTES_LIMIT >> 20} MB."
        try:
            if self._container == "newline_delimited":
                return self._find_bad_line()
            json.loads(self._path.read_text(encoding="utf-8-sig"))
        except UnicodeDecodeError as error:
            return f"The file is not in UTF-8 (byte {error.start + 1})."
        except json.JSONDecodeError as error:
            where = f"line {error.lineno}, column {error.colno}"
            return f"The JSON is not valid or not complete at {where}: {error.msg}."
        except RecursionError:
            return _NESTED_TOO_DEEPLY
        return "The JSON is not valid."

    def _find_bad_line(self) -> str:
        # DuckDB's own line numbers are off by its buffers; this runs only when something is wrong anyway.
        with self._path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
                try:
                    if text.strip():
                        json.loads(text.decode())
                except UnicodeDecodeError:
                    return f"Line {number} is not in UTF-8."
                except RecursionError:
                    return f"Line {number}: {_NESTED_TOO_DEEPLY}"
                except ValueError:
                    return f"Line {number} is no complete JSON object."
        return "A line is no complete JSON object."


def _list(paths: dict[str, str]) -> str:
    return "[" + ", ".join(quote_text(path) for path in paths.values()) + "]"
