"""In-memory DuckDB connections that load no extension and keep within given limits."""

import duckdb


def open_connection(*, memory_limit_bytes: int | None = None, threads: int = 1) -> duckdb.DuckDBPyConnection:
    """Open an in-memory DuckDB instance of its own, in UTC, with limits on memory (bytes) and threads.

    It reads files until `lock` is called. It never spills to disk, so it fails when the memory is used up;
    without a limit here, `limit_memory` sets it.
    """
    connection = duckdb.connect(
        ":memory:",
        config={
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "allow_persistent_secrets": False,
            "threads": threads,
            "temp_directory": "",
            "preserve_insertion_order": True,
            # Otherwise SQL could name any variable of the Python code that runs it.
            "python_enable_replacements": False,
        },
    )
    connection.execute("SET TimeZone = 'UTC'")
    if memory_limit_bytes is not None:
        limit_memory(connection, memory_limit_bytes=memory_limit_bytes)
    return connection


def limit_memory(connection: duckdb.DuckDBPyConnection, *, memory_limit_bytes: int) -> None:
    """Have the instance allocate at most so many bytes for what it counts: tables, sorting, grouping.

    What functions make of a single vector of rows is not counted.
    """
    connection.execute(f"SET memory_limit = '{memory_limit_bytes}B'")


def lock(connection: duckdb.DuckDBPyConnection, *, readable_paths: tuple[str, ...] = ()) -> None:
    """Take away all access to files and the network but to `readable_paths`, and the means to get it back."""
    if readable_paths:
        connection.execute(f"SET allowed_paths = [{', '.join(quote_text(path) for path in readable_paths)}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def quote_text(value: str) -> str:
    """Write `value` as an SQL string literal."""
    return "'" + value.replace("'", "''") + "'"


def quote_name(value: str) -> str:
    """Write `value` as an SQL identifier."""
    return '"' + value.replace('"', '""') + '"'


def quote_path(path: str) -> str:
    """Write `path` as an SQL string literal in which DuckDB finds no wildcard."""
    return quote_text("".join(f"[{letter}]" if letter in "*?[" else letter for letter in path))
