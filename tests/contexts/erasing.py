"""Erasing people in tests, and looking for what is left of them."""

import json
from io import StringIO
from typing import Any

from django.core.management import call_command
from django.db import connection


def erase(username: str, *arguments: str, operator: str = "Trillian") -> dict[str, Any]:
    """Erase, and return the receipt."""
    output = StringIO()
    call_command("erase_user", username, "--yes", "--operator", operator, *arguments, stdout=output)
    receipt: dict[str, Any] = json.loads(output.getvalue())
    return receipt


def tables_with(text: str) -> set[str]:
    """Return the tables of which any row has `text` in any column."""
    with connection.cursor() as cursor:
        found = set()
        for table in connection.introspection.table_names(cursor):
            cursor.execute(
                f'SELECT EXISTS (SELECT FROM "{table}" AS whole WHERE whole::text ILIKE %s)', [f"%{text}%"]
            )
            if cursor.fetchone()[0]:
                found.add(table)
        return found
