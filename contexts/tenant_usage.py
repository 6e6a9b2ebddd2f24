"""Reads for operators: where tenants stand with their quotas, and which are near a limit.

All of them need a system scope. Shares are of what is used and reserved, in the windows around `now`.
"""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection

from contexts.resources import RULES, Resource, Window
from contexts.windows import window_start

COUNTED = tuple(
    name
    for name, rule in RULES.items()
    if rule.window not in {Window.CONTEXT, Window.RUN} and name != Resource.RETENTION_DAYS
)
"""The resources that have counters; the others are bounds of a run, a context or a member's data."""
FULLEST = 5
"""How many members are shown of each resource."""

_STANDING = """
SELECT asked.resource, l.member_limit, l.tenant_limit, coalesce(c.used, 0), coalesce(c.reserved, 0)
FROM unnest(%s::text[], %s::timestamptz[], %s::numeric[]) AS asked (resource, start, fallback)
CROSS JOIN LATERAL netra_quota_limit(%s, NULL, asked.resource, %s) AS l
LEFT JOIN contexts_tenantquotausage c ON c.tenant_id = %s AND c.resource = asked.resource
    AND c.window_start = asked.start
"""
_FULLEST = """
SELECT asked.resource, u.id, u.username, l.member_limit, c.used, c.reserved
FROM unnest(%s::text[], %s::timestamptz[], %s::numeric[]) AS asked (resource, start, fallback)
CROSS JOIN LATERAL (
    SELECT user_id, used, reserved FROM contexts_quotausage
    WHERE tenant_id = %s AND resource = asked.resource AND window_start = asked.start AND used + reserved > 0
    ORDER BY used + reserved DESC LIMIT %s) AS c
JOIN contexts_user u ON u.id = c.user_id
CROSS JOIN LATERAL netra_quota_limit(%s, c.user_id, asked.resource, %s) AS l
ORDER BY c.used + c.reserved DESC, u.username
"""
# The limit in force is asked for only where a counter is high enough for the lowest that could hold; OFFSET
# keeps the planner from asking before, and from reading all counters there are.
_NEAR = """
WITH asked AS (
    SELECT * FROM unnest(%s::text[], %s::timestamptz[], %s::numeric[]) AS asked (resource, start, fallback)),
lowest AS (
    SELECT tenant_id, resource, min("limit") FILTER (WHERE applies_to = 'member') AS member,
        min("limit") FILTER (WHERE applies_to = 'tenant') AS everyone
    FROM contexts_quotaoverride GROUP BY 1, 2),
bound AS MATERIALIZED (
    SELECT tenant.id, asked.resource, asked.start,
        least(coalesce(t."limit", asked.fallback), lowest.member) AS member,
        least(t.tenant_limit, lowest.everyone) AS everyone
    FROM contexts_tenant tenant CROSS JOIN asked
    LEFT JOIN contexts_tierlimit t ON t.tier_id = tenant.tier_id AND t.resource = asked.resource
    LEFT JOIN lowest ON lowest.tenant_id = tenant.id AND lowest.resource = asked.resource
    WHERE %s::uuid[] IS NULL OR tenant.id = ANY (%s)),
candidate AS MATERIALIZED (
    SELECT bound.id, bound.resource, c.user_id, c.taken FROM bound CROSS JOIN LATERAL (
        SELECT u.user_id, u.used + u.reserved AS taken FROM contexts_quotausage u
        WHERE u.tenant_id = bound.id AND u.resource = bound.resource AND u.window_start = bound.start
            AND u.used + u.reserved > 0 AND u.used + u.reserved >= %s * bound.member OFFSET 0) AS c
    UNION ALL
    SELECT bound.id, bound.resource, NULL, c.taken FROM bound CROSS JOIN LATERAL (
        SELECT u.used + u.reserved AS taken FROM contexts_tenantquotausage u
        WHERE u.tenant_id = bound.id AND u.resource = bound.resource AND u.window_start = bound.start
            AND u.used + u.reserved > 0 AND u.used + u.reserved >= %s * bound.everyone OFFSET 0) AS c
    WHERE bound.everyone IS NOT NULL)
SELECT near.id, near.resource, max(coalesce(near.taken / nullif(near."limit", 0), 1)) FROM (
    SELECT c.*, CASE WHEN c.user_id IS NULL THEN l.tenant_limit ELSE l.member_limit END AS "limit"
    FROM candidate c CROSS JOIN LATERAL netra_quota_limit(c.id, c.user_id, c.resource, %s) AS l) AS near
WHERE near.taken >= %s * near."limit" GROUP BY 1, 2
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Level:
    """How much of a limit is gone."""

    limit: Decimal | None
    """How much there is; none where there is no limit."""
    used: Decimal
    reserved: Decimal

    @property
    def taken(self) -> Decimal:
        """Return what is used and reserved."""
        return self.used + self.reserved

    @property
    def percent(self) -> int | None:
        """Return the share of the limit that is taken, in whole percent; none where there is no limit."""
        if self.limit is None:
            return None
        if not self.limit:
            return 100 if self.taken else 0
        return int(100 * self.taken / self.limit)


@dataclass(frozen=True, kw_only=True, slots=True)
class MemberLevel(Level):
    """How much of their limit a member has taken."""

    user_id: UUID
    username: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ResourceStanding:
    """Where a tenant stands with one resource."""

    resource: str
    began_at: datetime
    """When the window began (UTC); the epoch for what has none."""
    member_limit: Decimal
    """What each member may use, as far as no override is for one of them alone."""
    together: Level
    fullest: tuple[MemberLevel, ...]
    """The members who have taken most, most first."""


def standing_of_tenant(tenant_id: UUID, *, now: datetime) -> list[ResourceStanding]:
    """Return where a tenant stands with each counted resource, with the members who have taken most."""
    windows = _windows(COUNTED, now)
    members = defaultdict(list)
    for resource, user, name, limit, used, reserved in _rows(
        _FULLEST, [*windows, tenant_id, FULLEST, tenant_id, now]
    ):
        level = MemberLevel(user_id=user, username=name, limit=limit, used=used, reserved=reserved)
        members[resource].append(level)
    found = {
        resource: ResourceStanding(
            resource=resource,
            began_at=window_start(RULES[resource].window, now=now),
            member_limit=member_limit,
            together=Level(limit=limit if limit.is_finite() else None, used=used, reserved=reserved),
            fullest=tuple(members[resource]),
        )
        for resource, member_limit, limit, used, reserved in _rows(
            _STANDING, [*windows, tenant_id, now, tenant_id]
        )
    }
    return [found[name] for name in COUNTED]


def limits_of_tenant(tenant_id: UUID, resources: Collection[str], *, now: datetime) -> dict[str, Decimal]:
    """Return what each member of a tenant may have of `resources`, by name."""
    rows = _rows(_STANDING, [*_windows(resources, now), tenant_id, now, tenant_id])
    return {resource: member_limit for resource, member_limit, *_ in rows}


def near_limits(
    *,
    now: datetime,
    share: Decimal = Decimal("0.8"),
    resources: Collection[str] = COUNTED,
    tenants: Collection[UUID] | None = None,
) -> dict[UUID, dict[str, int]]:
    """Return which tenants have taken `share` of a limit or more, of one member or all of them together.

    By tenant and resource, the fullest counter in whole percent; what may not be used at all counts as full.
    """
    asked = None if tenants is None else list(tenants)
    found: dict[UUID, dict[str, int]] = defaultdict(dict)
    parameters = [*_windows(resources, now), asked, asked, share, share, now, share]
    for tenant, resource, taken in _rows(_NEAR, parameters):
        found[tenant][resource] = int(100 * taken)
    return dict(found)


def _windows(resources: Collection[str], now: datetime) -> list[Any]:
    names = [str(name) for name in resources]
    starts = [window_start(RULES[name].window, now=now) for name in names]
    return [names, starts, [RULES[name].fallback for name in names]]


def _rows(sql: str, parameters: list[Any]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return list(cursor.fetchall())
