"""What the tests of quotas share: whether counters, ledger and open reservations agree."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection

# Each finds what disagrees: one row for a counter, empty when all is well.
CHECKS = {
    "a member's counter is not the sum of its ledger": """
        SELECT * FROM contexts_quotausage c FULL JOIN (
            SELECT tenant_id, user_id, resource, window_start, sum(used) AS used, sum(reserved) AS reserved
            FROM contexts_quotaentry GROUP BY 1, 2, 3, 4
        ) AS e USING (tenant_id, user_id, resource, window_start)
        WHERE coalesce(c.used, 0) <> coalesce(e.used, 0)
            OR coalesce(c.reserved, 0) <> coalesce(e.reserved, 0)""",
    "a tenant's counter is not the sum of its members'": """
        SELECT * FROM contexts_tenantquotausage c FULL JOIN (
            SELECT tenant_id, resource, window_start, sum(used) AS used, sum(reserved) AS reserved
            FROM contexts_quotausage GROUP BY 1, 2, 3
        ) AS m USING (tenant_id, resource, window_start)
        WHERE coalesce(c.used, 0) <> coalesce(m.used, 0)
            OR coalesce(c.reserved, 0) <> coalesce(m.reserved, 0)""",
    "what is reserved is not the sum of the open reservations": """
        SELECT * FROM contexts_quotausage c FULL JOIN (
            SELECT tenant_id, user_id, resource, window_start, sum(amount) AS reserved
            FROM contexts_quotareservation r
            CROSS JOIN LATERAL unnest(r.resources, r.window_starts, r.amounts)
                AS line (resource, window_start, amount)
            GROUP BY 1, 2, 3, 4
        ) AS o USING (tenant_id, user_id, resource, window_start)
        WHERE coalesce(c.reserved, 0) <> coalesce(o.reserved, 0)""",
    "something is negative": """
        SELECT tenant_id, resource, used, reserved FROM contexts_quotausage WHERE least(used, reserved) < 0
        UNION ALL SELECT tenant_id, resource, used, reserved FROM contexts_tenantquotausage
        WHERE least(used, reserved) < 0""",
}


@dataclass(frozen=True, kw_only=True)
class Member:
    """Whose quota it is, for tests that need no context."""

    tenant_id: UUID
    user_id: UUID


def member_of(user: Any) -> Member:
    """Return a user in the tenant that they joined first."""
    return Member(tenant_id=user.memberships.first().tenant_id, user_id=user.id)


def imbalances() -> dict[str, list[Any]]:
    """Return what disagrees in the books; nothing when all is well."""
    found = {}
    with connection.cursor() as cursor:
        for name, sql in CHECKS.items():
            cursor.execute(sql)
            if rows := cursor.fetchall():
                found[name] = rows
    return found


def at_once(work: Callable[[Any], Any], items: Iterable[Any], *, threads: int = 8) -> list[Any]:
    """Call `work` with each item from several threads, each with a connection of its own."""

    def call(item: Any) -> Any:
        try:
            return work(item)
        finally:
            connection.close()

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(call, items))
