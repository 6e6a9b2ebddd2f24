"""One user's datasets in one private DuckDB instance: loaded, locked, and open to read-only SQL."""

# ruff: noqa: S608 (the SQL is made of our own names and numbers; other text is quoted or a parameter)

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import duckdb

from contexts.exceptions import NotFoundError, ToolError

from .canonical import COLUMNS
from .connection import limit_memory, lock, open_connection, quote_name, quote_path
from .query_result import TEXT_LIMIT, QueryColumn, QueryResult, RowCutter
from .stored import DatasetSource
from .table_names import make_table_name

OUT_OF_MEMORY = "The query needs more memory than it may use."

_COLUMNS_LIMIT = 100
_ROWS_AT_A_TIME = 10
_PLAIN_TYPES = frozenset(
    "BOOLEAN TINYINT SMALLINT INTEGER BIGINT HUGEINT UTINYINT USMALLINT UINTEGER UBIGINT UHUGEINT FLOAT "
    "DOUBLE DATE TIME TIMESTAMP TIMESTAMP_S TIMESTAMP_MS TIMESTAMP_NS INTERVAL UUID".split()
)
_BYTES_PER_ROW = 120
_BYTES_PER_HASH = 8
_TABLES_SHARE_OF_MEMORY = 3


class DatasetDatabase:
    """Answer questions about datasets by SQL, without reach beyond them; not safe to use from threads.

    Once `load` has returned, the instance can read no file but the datasets' own, reach no network, load no
    extension and change no setting.
    """

    def __init__(self) -> None:
        """Open an instance that holds nothing yet."""
        self._connection = open_connection()
        self._tables: dict[str, str] = {}

    def load(self, sources: Sequence[DatasetSource], *, memory_limit_bytes: int) -> dict[str, str]:
        """Open `sources` within `memory_limit_bytes`, lock the instance, and return tables' names by dataset.

        Small datasets are loaded into memory, large ones are read from their files at each query.

        Raises:
            NotFoundError: A dataset's file is gone.
            ToolError: A dataset's file cannot be read, or does not fit the memory.

        """
        try:
            self._open_all(sources, memory_limit_bytes)
        except duckdb.OutOfMemoryException as error:
            raise _tool_error(error) from error
        return dict(self._tables)

    def _open_all(self, sources: Sequence[DatasetSource], memory_limit_bytes: int) -> None:
        limit_memory(self._connection, memory_limit_bytes=memory_limit_bytes)
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
        except duckdb.OutOfMemoryException:
            raise  # The file is in order.
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

    def query(self, sql: str, *, max_rows: int) -> QueryResult:
        """Answer one SELECT statement with at most `max_rows` rows.

        Raises:
            ToolError: It is not exactly one reading statement, is wrong, reaches beyond the datasets, or
                needs too much memory.

        """
        try:
            statement = self._parse(sql)
            types = self._connection.execute(f"DESCRIBE SELECT * FROM (\n{statement}\n)").fetchall()
            if len(types) > _COLUMNS_LIMIT:
                raise ToolError(f"The query has {len(types)} columns; at most {_COLUMNS_LIMIT} can be shown.")
            columns = ", ".join(_output_column(name, kind) for name, kind, *_ in types)
            answer = self._connection.execute(f"SELECT {columns} FROM (\n{statement}\n) LIMIT {max_rows + 1}")
            cutter = RowCutter(max_rows=max_rows)
            while not cutter.is_full and (rows := answer.fetchmany(_ROWS_AT_A_TIME)):
                cutter.add(rows)
        except duckdb.Error as error:
            raise _tool_error(error) from error
        return QueryResult(
            columns=tuple(QueryColumn(name=name, type=kind) for name, kind, *_ in types),
            rows=tuple(cutter.rows),
            row_count=len(cutter.rows),
            truncated=cutter.is_full,
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

    def fetch(self, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Run `sql` of our own, which must not come from users or models, and return all rows.

        Raises:
            ToolError: It needs too much memory.

        """
        try:
            return self._connection.execute(sql, parameters).fetchall()
        except duckdb.OutOfMemoryException as error:
            raise _tool_error(error) from error

    def mentions(self, identifier: UUID) -> bool:
        """Tell whether a text of the open datasets holds an identifier, with dashes or without.

        Raises:
            ToolError: It needs too much memory.

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
    if isinstance(error, duckdb.OutOfMemoryException):
        return ToolError(OUT_OF_MEMORY)
    if isinstance(error, duckdb.PermissionException):
        return ToolError("A query may read the datasets' tables only, no files, network or settings.")
    return ToolError(f"The query is wrong: {_first_line(error)}")
