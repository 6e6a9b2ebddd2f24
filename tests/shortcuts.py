"""Quicker ways to what Django does for each test, with the same outcome."""

from functools import cache
from typing import Any

from django.core.management.color import no_style
from django.db import connection
from servestatic.middleware import ServeStaticMiddleware

KEPT_TABLES = {"django_content_type", "auth_permission", "auth_group", "auth_group_permissions"}
"""What models and migrations decide; a test that changes these undoes it."""
QUEUE_TABLES = [f"procrastinate_{name}" for name in ("events", "jobs", "periodic_defers", "workers")]
"""What Django does not know to be there, and would leave to the next test."""

_find_files = ServeStaticMiddleware.add_files_from_finders
_found: dict[bool, ServeStaticMiddleware] = {}


def empty_tables(_: Any) -> None:
    """Truncate what a test with transactions of its own may have written.

    Django's own way also makes every content type, permission and group anew, which takes most of the time.
    """
    connection.ops.execute_sql_flush(_truncation())


def add_known_files(middleware: ServeStaticMiddleware) -> None:
    """Have the static files served that are there; looked for once, not by each of Django's test clients."""
    key = bool(middleware.autorefresh)
    if key not in _found:
        _find_files(middleware)
        _found[key] = middleware
    else:
        middleware.files.update(_found[key].files)
        middleware.directories[:] = _found[key].directories


@cache
def _truncation() -> list[str]:
    tables = connection.introspection.django_table_names(only_existing=True, include_views=False)
    written = [table for table in tables if table not in KEPT_TABLES] + QUEUE_TABLES
    return list(connection.ops.sql_flush(no_style(), written, reset_sequences=False, allow_cascade=False))
