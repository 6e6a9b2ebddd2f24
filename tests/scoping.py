"""Finds the project's own code that reaches for owned rows outside of a database scope.

Tests themselves see every row (tests/settings.py), which would hide a forgotten scope: row-level
security answers that with nothing at all in production. So each statement is looked at here.
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from contexts.scope import claims_of

ROOT = Path(__file__).resolve().parents[1]
OWN_CODE = tuple(str(ROOT / name) + "/" for name in ("netra_site", "realtime", "agents", "contexts"))
TESTS = str(ROOT / "tests") + "/"
# Migrations run before anyone owns anything; the rest says nothing for itself, but works in the scope of
# whoever calls it: what is looked for is the caller.
EXEMPT = ("/migrations/",)
CALLEES = tuple(
    str(ROOT / name)
    for name in (
        "agents/answers.py",
        "agents/event_records.py",
        "agents/selectors.py",
        "contexts/audit.py",
        "contexts/audit_trail.py",
        "contexts/database.py",
        "contexts/profiles.py",
        "contexts/quotas.py",
        "contexts/records.py",
    )
)
OWNED = re.compile(
    r"\b(?:FROM|INTO|UPDATE|JOIN)\s+\"?(contexts_(?:tenant|membership|quotausage|tenantquotausage|quotareservation|"
    r"quotaentry|quotaoverride|quotagrant|contextrecord|socketticket|auditentry|auditchain|auditlink|"
    r"securityincident)|agents_\w+|token_blacklist_outstandingtoken)\b",
    re.IGNORECASE,
)


class UnscopedQueryError(AssertionError):
    """The project's own code queried an owned table outside of any scope."""


def refuse_unscoped(
    execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]
) -> Any:
    """Execute a statement, unless the project's own code sends it outside of a scope."""
    table = OWNED.search(sql)
    if table and claims_of(context["connection"]) is None and (place := _own_code()) is not None:
        raise UnscopedQueryError(f"{place} reaches for {table[1]} outside of a scope")
    return execute(sql, params, many, context)


def watch(connection: BaseDatabaseWrapper, **_: Any) -> None:
    """Have every statement of a connection looked at; a receiver of `connection_created`."""
    if refuse_unscoped not in connection.execute_wrappers:
        connection.execute_wrappers.append(refuse_unscoped)


def _own_code() -> str | None:
    """Return the nearest line of the project, none when a test is nearer."""
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename
        if name in CALLEES or name == __file__:
            pass
        elif name.startswith(TESTS):
            return None
        elif name.startswith(OWN_CODE) and not any(part in name for part in EXEMPT):
            return f"{name[len(str(ROOT)) + 1 :]}:{frame.f_lineno}"
        frame = frame.f_back
    return None
