"""In-memory DuckDB connections that load no extension and keep within given limits."""

import duckdb


def open_connection(*, memory_limit_bytes: int, threads: int = 1) -> duckdb.DuckDBPyConnection:
    """Open an in-memory DuckDB instance of its own, in UTC, with limits on memory (bytes) and threads.

    It reads files until `lock` is called. It never spills to disk, so it fails when the memory is used up.
    """
    connection = duckdb.connect(
        ":memory:",
        config={
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "allow_persistent_secrets": False,
            "memory_limit": f"{memory_limit_bytes}B",
            "threads": threads,
            "temp_directory": "",
            "preserve_insertion_order": True,
            # Otherwise SQL could name any variable of the Python code that runs it.
            "python_enable_replacements": False,
        },
    )
    connection.execute("SET TimeZone = 'UTC'")
    return connection


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
