"""Reads for operators: what a tenant and its users used within the last days, after the ledger.

All of them need a system scope. What operators reset was used all the same.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection

from contexts.resources import Resource, Window
from contexts.windows import window_start

DAYS = 30
CHARTED = (Resource.AGENT_RUNS, Resource.TOKENS, Resource.COST_USD)
"""What the use of each day is shown of."""
TOP_USERS = 10

# A day's counters are of its own window; what counts by the month is used on the day of its entry.
_BY_DAY = """
SELECT e.resource, (CASE e.resource WHEN 'cost_usd' THEN e.created_at ELSE e.window_start END
    AT TIME ZONE 'UTC')::date, sum(e.used)
FROM contexts_quotaentry e
WHERE e.tenant_id = %s AND e.resource = ANY (%s) AND e.window_start >= %s AND e.used <> 0
    AND e.kind <> 'reset' AND (e.resource = 'cost_usd' OR e.window_start >= %s) AND e.created_at >= %s
GROUP BY 1, 2
"""
_BY_USER = """
SELECT spent.user_id, u.username, spent.runs, spent.tokens, spent.cost FROM (
    SELECT e.user_id, coalesce(sum(e.used) FILTER (WHERE e.resource = 'agent_runs'), 0) AS runs,
        coalesce(sum(e.used) FILTER (WHERE e.resource = 'tokens'), 0) AS tokens,
        coalesce(sum(e.used) FILTER (WHERE e.resource = 'cost_usd'), 0) AS cost
    FROM contexts_quotaentry e
    WHERE e.tenant_id = %s AND e.resource = ANY (%s) AND e.window_start >= %s AND e.used <> 0
        AND e.kind <> 'reset' AND (e.resource = 'cost_usd' OR e.window_start >= %s) AND e.created_at >= %s
    GROUP BY 1 ORDER BY cost DESC, tokens DESC, runs DESC LIMIT %s) AS spent
LEFT JOIN contexts_user u ON u.id = spent.user_id
ORDER BY spent.cost DESC, spent.tokens DESC, spent.runs DESC
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class UserSpending:
    """What one user has used within the last days."""

    user_id: UUID
    username: str | None
    """None once the account is deleted."""
    runs: Decimal
    tokens: Decimal
    cost_usd: Decimal


def spending_by_day(tenant_id: UUID, *, now: datetime, days: int = DAYS) -> dict[str, dict[date, Decimal]]:
    """Return what a tenant used on each of the last days (UTC), today included, by resource and day."""
    today = window_start(Window.DAY, now=now).date()
    by_day = {
        str(name): {today - timedelta(days=back): Decimal(0) for back in range(days - 1, -1, -1)}
        for name in CHARTED
    }
    for resource, day, used in _rows(_BY_DAY, _spent_since(tenant_id, now, days)):
        by_day[resource][day] = used
    return by_day


def top_users(tenant_id: UUID, *, now: datetime, days: int = DAYS) -> list[UserSpending]:
    """Return who used most within the last days (UTC), by cost, then tokens."""
    rows = _rows(_BY_USER, [*_spent_since(tenant_id, now, days), TOP_USERS])
    return [
        UserSpending(user_id=user, username=name, runs=runs, tokens=tokens, cost_usd=cost)
        for user, name, runs, tokens, cost in rows
    ]


def _spent_since(tenant_id: UUID, now: datetime, days: int) -> list[Any]:
    since = window_start(Window.DAY, now=now) - timedelta(days=days - 1)
    return [tenant_id, list(CHARTED), since.replace(day=1), since, since]


def _rows(sql: str, parameters: list[Any]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return list(cursor.fetchall())
