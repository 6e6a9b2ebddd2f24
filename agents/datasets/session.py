"""One user's datasets in one private DuckDB instance: loaded, locked, and open to read-only SQL."""

# ruff: noqa: S608 (the SQL is made of our own names and numbers; other text is quoted or a parameter)

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import duckdb

from contexts.exceptions import NotFoundError, ToolError

from .canonical import COLUMNS
from .connection import lock, open_connection, quote_name, quote_path
from .query_result import TEXT_LIMIT, QueryColumn, QueryResult, cut_rows
from .table_names import make_table_name

_COLUMNS_LIMIT = 100
_PLAIN_TYPES = frozenset(
    "BOOLEAN TINYINT SMALLINT INTEGER BIGINT HUGEINT UTINYINT USMALLINT UINTEGER UBIGINT UHUGEINT FLOAT "
    "DOUBLE DATE TIME TIMESTAMP TIMESTAMP_S TIMESTAMP_MS TIMESTAMP_NS INTERVAL UUID".split()
)
_BYTES_PER_ROW = 120
_BYTES_PER_HASH = 8
_TABLES_SHARE_OF_MEMORY = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSource:
    """A stored dataset that a session shall open."""

    id: str
    """Id of the dataset."""
    name: str
    """Name that its user gave it."""
    path: Path
    """The Parquet file written by `import_file`."""
    assumed_model: str | None
    """Model to assume for rows that name none."""
    time_is_relative: bool
    """Whether times count from the log's own start."""
    format: str
    """Stable name of the log's format."""
    notes: tuple[str, ...] = ()
    """What the import noted."""


class AnalysisSession:
    """Answer questions about datasets by SQL, without reach beyond them.

    After the constructor the instance can read no file but the datasets' own, reach no network, load no
    extension and change no setting. Calls from several threads take turns.
    """

    def __init__(
        self, sources: Sequence[DatasetSource], *, memory_limit_bytes: int, threads: int = 1
    ) -> None:
        """Open `sources`; `memory_limit_bytes` bounds what DuckDB may allocate in all.

        Small datasets are loaded into memory, large ones are read from their files at each query.

        Raises:
            NotFoundError: A dataset's file is gone.
            ToolError: A dataset's file cannot be read, or does not fit the memory.

        """
        self._turn = threading.Lock()
        self._sources = {source.id: source for source in sources}
        self._tables: dict[str, str] = {}
        self._connection = open_connection(memory_limit_bytes=memory_limit_bytes, threads=threads)
        try:
            reserved = {
                str(word)
                for (word,) in self._connection.execute(
                    "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category <> 'unreserved'"
                ).fetchall()
            }
            budget = memory_limit_bytes // _TABLES_SHARE_OF_MEMORY
            viewed: list[str] = []
            for source in sources:
                size = self._load(source, reserved, budget)
                if size > budget:
                    viewed.append(str(source.path))
                else:
                    budget -= size
            lock(self._connection, readable_paths=tuple(viewed))
        except BaseException:
            self._connection.close()
            raise

    def _load(self, source: DatasetSource, reserved: set[str], budget: int) -> int:
        if not source.path.is_file():
            raise NotFoundError(f'The stored data of the dataset "{source.name}" is gone.')
        alias = f"dataset_{source.id[:8]}"
        name = make_table_name(source.name, taken={*self._tables.values(), *reserved, alias})
        file = quote_path(str(source.path))
        try:
            size = self._estimate_bytes(file)
            kind = "VIEW" if size > budget else "TABLE"
            self._connection.execute(
                f"CREATE {kind} {quote_name(name)} AS SELECT {_column_list()} FROM read_parquet({file})"
            )
            if alias != name:
                self._connection.execute(f"CREATE VIEW {quote_name(alias)} AS FROM {quote_name(name)}")
        except duckdb.Error as error:
            raise ToolError(f'The dataset "{source.name}" cannot be opened: {_first_line(error)}') from error
        self._tables[source.id] = name
        return size

    def _estimate_bytes(self, file: str) -> int:
        row = self._connection.execute(
            f"""SELECT coalesce(max(total), 0), coalesce(sum(hashes), 0) FROM (
                SELECT sum(num_values) FILTER (WHERE path_in_schema = 'row_number') AS total,
                    sum(num_values) FILTER (WHERE path_in_schema LIKE 'prefix_hashes%') AS hashes
                FROM parquet_metadata({file}))"""
        ).fetchone()
        assert row is not None  # An aggregate always yields one row.
        return int(row[0]) * _BYTES_PER_ROW + int(row[1]) * _BYTES_PER_HASH

    @property
    def table_names(self) -> Mapping[str, str]:
        """The SQL name of each dataset by its id."""
        return dict(self._tables)

    @property
    def sources(self) -> Mapping[str, DatasetSource]:
        """The open datasets by their id."""
        return dict(self._sources)

    def source(self, dataset_id: str) -> DatasetSource:
        """Return the open dataset with this id.

        Raises:
            NotFoundError: The session has none.

        """
        try:
            return self._sources[dataset_id]
        except KeyError:
            raise NotFoundError("There is no such dataset.") from None

    def query(self, sql: str, *, max_rows: int = 200) -> QueryResult:
        """Answer one SELECT statement with at most `max_rows` rows.

        Raises:
            ToolError: It is not exactly one reading statement, is wrong, reaches beyond the datasets, was
                interrupted, or needs too much memory.

        """
        with self._turn:
            try:
                statement = self._parse(sql)
                types = self._connection.execute(f"DESCRIBE SELECT * FROM (\n{statement}\n)").fetchall()
                if len(types) > _COLUMNS_LIMIT:
                    raise ToolError(
                        f"The query has {len(types)} columns; at most {_COLUMNS_LIMIT} can be shown."
                    )
                columns = ", ".join(_output_column(name, kind) for name, kind, *_ in types)
                rows = self._connection.execute(
                    f"SELECT {columns} FROM (\n{statement}\n) LIMIT {max_rows + 1}"
                ).fetchall()
            except duckdb.Error as error:
                raise _tool_error(error) from error
        shown = cut_rows(rows[:max_rows])
        return QueryResult(
            columns=tuple(QueryColumn(name=name, type=kind) for name, kind, *_ in types),
            rows=shown,
            row_count=len(shown),
            truncated=len(rows) > len(shown),
        )

    def _parse(self, sql: str) -> str:
        statements = self._connection.extract_statements(sql)
        if len(statements) != 1:
            raise ToolError(
                f"Exactly one SELECT statement is answered at a time; this has {len(statements)}."
            )
        statement = statements[0]
        if statement.type != duckdb.StatementType.SELECT:
            raise ToolError(f"Only SELECT is allowed here, and this is {statement.type.name}.")
        # Being a subquery, it can neither change data in a WITH clause nor return more rows than asked for.
        return self._without_end(statement.query.strip())

    def _without_end(self, statement: str) -> str:
        """Cut the semicolon that ends `statement`, and the comments after it."""
        for position, letter in enumerate(statement):
            if letter == ";":
                try:
                    if not self._connection.extract_statements(statement[position + 1 :]):
                        return statement[:position]
                except duckdb.ParserException:
                    continue  # This semicolon is part of a text or a comment.
        return statement

    def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run `sql` of our own, which must not come from users or models, and return all rows.

        Raises:
            ToolError: It was interrupted, or needs too much memory.

        """
        with self._turn:
            try:
                return self._connection.execute(sql, parameters).fetchall()
            except (duckdb.InterruptException, duckdb.OutOfMemoryException) as error:
                raise _tool_error(error) from error

    def mentions(self, identifier: UUID) -> bool:
        """Tell whether a text of the open datasets holds an identifier, with dashes or without.

        Raises:
            ToolError: It was interrupted, or needs too much memory.

        """
        texts = "concat_ws('|', model, provider, project)"
        return any(
            self.fetch(
                f"SELECT 1 FROM {quote_name(table)}"
                f" WHERE contains(replace(lower({texts}), '-', ''), ?) LIMIT 1",
                [identifier.hex],
            )
            for table in self._tables.values()
        )

    def interrupt(self) -> None:
        """Stop the query that runs now, from any thread; its caller gets a `ToolError`."""
        self._connection.interrupt()

    def close(self) -> None:
        """Give all memory back."""
        self._connection.close()

    def __enter__(self) -> Self:
        """Return the session itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the session."""
        self.close()


def _column_list() -> str:
    return ", ".join(quote_name(column.name) for column in COLUMNS)


def _output_column(name: str, kind: str) -> str:
    # Times with zone need a library to become Python objects; as text they say the same. Texts, lists and
    # the like are cut before they leave DuckDB, whose memory limit covers them until then.
    if kind in _PLAIN_TYPES or kind.startswith("DECIMAL"):
        return quote_name(name)
    return f"left(CAST({quote_name(name)} AS VARCHAR), {TEXT_LIMIT + 1}) AS {quote_name(name)}"


def _first_line(error: duckdb.Error) -> str:
    return str(error).strip().split("\n", 1)[0]


def _tool_error(error: duckdb.Error) -> ToolError:
    if isinstance(error, duckdb.InterruptException):
        return ToolError("The query was interrupted.")
    if isinstance(error, duckdb.OutOfMemoryException):
        return ToolError("The query needs more memory than it may use.")
    if isinstance(error, duckdb.PermissionException):
        return ToolError("A query may read the datasets' tables only, no files, network or settings.")
    return ToolError(f"The query is wrong: {_first_line(error)}")
