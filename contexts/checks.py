"""Checks of the database that Netra is about to work on."""

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, register
from django.db import connections


@register(Tags.database)
def check_database_role(databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Refuse a role that row-level security does not bind."""
    messages: list[CheckMessage] = []
    for alias in databases or ():
        with connections[alias].cursor() as cursor:
            cursor.execute(
                "SELECT rolname, rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user"
            )
            name, is_super, bypasses = cursor.fetchone()
        if is_super or bypasses:
            messages.append(
                Error(
                    f"The database role {name!r} is a superuser or has BYPASSRLS: row-level security would "
                    "not hold, and every user could be shown every tenant's rows.",
                    hint="Use a role made with CREATE ROLE … LOGIN NOSUPERUSER NOBYPASSRLS that owns the "
                    "database (see docs/isolation.md).",
                    id="netra.E001",
                )
            )
    return messages
