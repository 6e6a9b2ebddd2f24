"""Turning a file of any known format into the canonical table, stored as Parquet."""

# ruff: noqa: S608 (the SQL is made of our own names and numbers; other text is quoted or a parameter)

import os
import uuid
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb

from contexts.exceptions import InvalidDatasetError, UnavailableError

from .canonical import BAD_ROW, RAW_FIELDS, canonical_sql
from .connection import open_connection, quote_path, quote_text
from .formats import find_layout, plain
from .layout import Layout
from .names import FieldNames
from .source import Source, open_source

_MEMORY_LIMIT_BYTES = 512 << 20
_MODELS_LIMIT = 200
_NAMES_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedDataset:
    """What was stored."""

    format: str
    """Stable name of the format that the file had."""
    rows: int
    """Rows stored: one a request, or one a usage bucket."""
    requests: int
    """Requests that the rows stand for."""
    input_tokens: int
    """Sum of the input tokens, the cached ones included."""
    output_tokens: int
    """Sum of the output tokens."""
    first_at: datetime | None
    """Earliest time, UTC and naive; None without times. Relative times count from 1970-01-01."""
    last_at: datetime | None
    """Latest time, the same way."""
    time_is_relative: bool
    """Whether the log only tells the time since its own start."""
    models: tuple[str, ...]
    """The models named, those with most requests first; at most 200."""
    names_models: bool
    """Whether every row names its model, so that none has to be assumed."""
    bytes: int
    """Size of the Parquet file."""
    notes: tuple[str, ...]
    """What a reader of any analysis should know, as sentences."""


def import_file(
    source: Path, destination: Path, *, filename: str, memory_limit_bytes: int = _MEMORY_LIMIT_BYTES
) -> ImportedDataset:
    """Read the usage log `source`, called `filename` by its user, and store it as Parquet at `destination`.

    The file appears whole or not at all; `destination`'s folder has to exist. DuckDB takes at most
    `memory_limit_bytes`.

    Raises:
        InvalidDatasetError: The file is no usage log of a known format, or has a row that cannot be true.
        UnavailableError: The disk or the memory does not suffice.

    """
    rows = open_source(source)
    layout = find_layout(rows.names)
    if layout is None:
        raise InvalidDatasetError(_describe_missing(rows.names), filename=filename)
    part = destination.with_name(f".{destination.name}.{uuid.uuid4().hex}.part")
    try:
        with open_connection(memory_limit_bytes=memory_limit_bytes) as connection:
            _write(connection, rows, layout, part)
            imported = _summarise(connection, layout, part)
        _keep(part, destination)
    finally:
        part.unlink(missing_ok=True)
    return imported


def _keep(part: Path, destination: Path) -> None:
    """Have the file last, and appear under its name."""
    try:
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(destination)
    except OSError as error:
        raise UnavailableError("The dataset cannot be written to the server's disk.") from error


def _describe_missing(names: FieldNames) -> str:
    found = [f'"{name[:40]}"' for name in names][:_NAMES_SHOWN]
    more = " and more" if len(names) > _NAMES_SHOWN else ""
    return (
        f"The file lacks {' and '.join(plain.missing(names))}; it has the columns {', '.join(found)}{more}."
    )


def _write(connection: duckdb.DuckDBPyConnection, source: Source, layout: Layout, part: Path) -> None:
    fields = ", ".join(f"{_field_sql(source, layout, name)} AS {name}" for name in RAW_FIELDS)
    skip = ""
    if layout.skip_rows_where:
        field, value = layout.skip_rows_where
        skip = f" WHERE lower(trim({source.field_sql(field)})) IS DISTINCT FROM {quote_text(value)}"
    raw = f"SELECT row_number, {fields} FROM ({source.rows_sql()}){skip}"
    checked = canonical_sql(raw, time_is_relative=layout.time_is_relative)
    try:
        connection.execute(f"COPY ({checked}) TO {quote_text(str(part))} (FORMAT parquet, COMPRESSION zstd)")
    except duckdb.OutOfMemoryException as error:
        raise UnavailableError("The file needs more memory to be read than the server grants.") from error
    except duckdb.IOException as error:
        raise UnavailableError("The dataset cannot be written to the server's disk.") from error
    except duckdb.Error as error:
        raise InvalidDatasetError(_explain(source, str(error))) from error


def _field_sql(source: Source, layout: Layout, column: str) -> str:
    fields = [f"nullif(trim({source.field_sql(name)}), '')" for name in layout.columns.get(column, ())]
    return f"coalesce({', '.join(fields)})" if fields else "CAST(NULL AS VARCHAR)"


def _explain(source: Source, message: str) -> str:
    _, marker, rest = message.partition(BAD_ROW)
    if not marker:
        return source.explain(message)
    number, _, problem = rest.partition("\n")[0].partition("|")
    return f"Row {number}: {problem}."


def _summarise(connection: duckdb.DuckDBPyConnection, layout: Layout, part: Path) -> ImportedDataset:
    table = f"read_parquet({quote_path(str(part))})"
    totals = connection.execute(
        f"""SELECT count(*), sum(requests), sum(input_tokens), sum(output_tokens), min(requested_at),
            max(requested_at), count(model), count(requested_at), max(row_number) FROM {table}"""
    ).fetchone()
    assert totals is not None  # An aggregate always yields one row.
    rows, requests, input_tokens, output_tokens, first_at, last_at, with_model, with_time, last_number = (
        totals
    )
    if not rows:
        raise InvalidDatasetError("The file has a header but no rows, or none that reached a model.")
    models = connection.execute(
        f"""SELECT model FROM {table} WHERE model IS NOT NULL GROUP BY model
            ORDER BY sum(requests) DESC, model LIMIT {_MODELS_LIMIT}"""
    ).fetchall()
    notes = list(layout.notes)
    if layout.skip_rows_where and last_number > rows:
        notes.append(layout.skip_note.format(rows=f"{last_number - rows:,}"))
    if not with_time:
        notes.append("The log has no times.")
    elif with_time < rows:
        notes.append(f"{rows - with_time:,} of {rows:,} rows have no time and are left out of periods.")
    if with_time and layout.time_is_relative:
        notes.append("The log's times count from its own start; it has no dates.")
    if 0 < with_model < rows:
        notes.append(f"{rows - with_model:,} of {rows:,} rows name no model.")
    return ImportedDataset(
        format=layout.format,
        rows=rows,
        requests=int(requests),
        input_tokens=int(input_tokens),
        output_tokens=int(output_tokens),
        first_at=first_at,
        last_at=last_at,
        time_is_relative=bool(layout.time_is_relative and with_time),
        models=tuple(model for (model,) in models),
        names_models=with_model == rows,
        bytes=part.stat().st_size,
        notes=tuple(notes),
    )
