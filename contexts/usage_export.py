"""Usage as CSV: a line for each member, resource and window, streamed in pages."""

import csv
import io
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.db import connection

from contexts.models import User
from contexts.resources import RULES, Window
from contexts.scope import system_scope
from contexts.tenant_spending import DAYS
from contexts.tenant_usage import COUNTED
from contexts.windows import EPOCH, window_start

PAGE = 2_000
COLUMNS = (
    *("tenant", "tier", "member", "resource", "window", "window_start"),
    *("used", "reset", "reserved", "limit"),
)

# Each page goes on behind the last line's key, along the counters' own index.
_MEMBERS = """
SELECT c.resource, c.window_start, c.user_id, t.slug, tier.slug, u.username, c.used, (
        SELECT -sum(e.used) FROM contexts_quotaentry e
        WHERE c.window_start > 'epoch' AND e.tenant_id = c.tenant_id AND e.user_id = c.user_id
            AND e.resource = c.resource AND e.window_start = c.window_start AND e.kind = 'reset'),
    c.reserved, l.member_limit
FROM (
    SELECT c.*, asked.start FROM unnest(%s::text[], %s::timestamptz[], %s::timestamptz[])
        AS asked (resource, start, since)
    CROSS JOIN LATERAL (
        SELECT * FROM contexts_quotausage u
        WHERE u.tenant_id = %s AND u.resource = asked.resource AND u.window_start >= asked.since
            AND (u.resource, u.window_start, u.user_id) > (%s, %s, %s)
        ORDER BY u.window_start, u.user_id LIMIT %s) AS c
    ORDER BY c.resource, c.window_start, c.user_id LIMIT %s) AS c
JOIN contexts_tenant t ON t.id = c.tenant_id
JOIN contexts_tier tier ON tier.id = t.tier_id
JOIN contexts_user u ON u.id = c.user_id
LEFT JOIN LATERAL netra_quota_limit(c.tenant_id, c.user_id, c.resource, %s) AS l ON c.window_start = c.start
ORDER BY c.resource, c.window_start, c.user_id
"""
_TOGETHER = """
SELECT c.resource, c.window_start, NULL, t.slug, tier.slug, NULL, c.used, r.reset, c.reserved, l.tenant_limit
FROM unnest(%s::text[], %s::timestamptz[], %s::timestamptz[]) AS asked (resource, start, since)
JOIN contexts_tenantquotausage c ON c.tenant_id = %s AND c.resource = asked.resource
    AND c.window_start >= asked.since
LEFT JOIN (
    SELECT e.resource, e.window_start, -sum(e.used) AS reset FROM contexts_quotaentry e
    WHERE e.tenant_id = %s AND e.kind = 'reset' AND e.window_start >= %s GROUP BY 1, 2) AS r
    ON r.resource = c.resource AND r.window_start = c.window_start
JOIN contexts_tenant t ON t.id = c.tenant_id
JOIN contexts_tier tier ON tier.id = t.tier_id
LEFT JOIN LATERAL netra_quota_limit(c.tenant_id, NULL, c.resource, %s) AS l ON c.window_start = asked.start
ORDER BY c.resource, c.window_start
"""
_FIRST = ("", datetime.min.replace(tzinfo=UTC), UUID(int=0))
_RISKY = tuple("=+-@\t\r\n|＝＋－＠")


class Period(StrEnum):
    """Which windows are exported."""

    CURRENT = "current"
    LAST_30_DAYS = "last-30-days"


def export_usage(
    tenants: Sequence[UUID], period: Period, *, actor: User, now: datetime, page: int = PAGE
) -> Iterator[str]:
    """Yield the CSV of what `tenants` use, in pieces, each read in a system scope of its own.

    What was reset was used too, but counts no more. Limits are those of now, so past windows have none.
    A line without a member is of all of them together.
    """
    yield _csv([COLUMNS])
    windows = _windows(period, now)
    for tenant in tenants:
        after: Sequence[Any] | None = _FIRST
        while after is not None:
            with system_scope("export usage", actor=actor, always_audited=False):
                lines = _rows(_MEMBERS, [*windows, tenant, *after, page, page, now])
                after = lines[-1][:3] if len(lines) == page else None
                if after is None:
                    lines += _rows(_TOGETHER, [*windows, tenant, tenant, _first_of(windows), now])
            if lines:
                yield _csv(map(_cells, lines))


def _windows(period: Period, now: datetime) -> list[Any]:
    """Return resources, the start of each one's window of now, and that of the first window exported."""
    starts = [window_start(RULES[name].window, now=now) for name in COUNTED]
    if period == Period.CURRENT:
        return [list(COUNTED), starts, starts]
    first = now - timedelta(days=DAYS - 1)
    # Thousands of minutes would hide the rest.
    firsts = [now if RULES[name].window == Window.MINUTE else first for name in COUNTED]
    since = [window_start(RULES[name].window, now=at) for name, at in zip(COUNTED, firsts, strict=True)]
    return [list(COUNTED), starts, since]


def _first_of(windows: list[Any]) -> datetime:
    """Return when the first of the windows of time began."""
    return min(start for start in windows[-1] if start > EPOCH)


def _rows(sql: str, parameters: list[Any]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return list(cursor.fetchall())


def _cells(line: Sequence[Any]) -> list[str]:
    resource, start, _, slug, tier, username, used, reset, reserved, limit = line
    is_windowless = RULES[resource].window in {Window.LEASE, Window.TOTAL}
    return [
        safe_cell(slug),
        safe_cell(tier),
        safe_cell(username or ""),
        resource,
        str(RULES[resource].window),
        "" if is_windowless else f"{start:%Y-%m-%dT%H:%M:%SZ}",
        _figure(used),
        _figure(reset or Decimal(0)),
        _figure(reserved),
        _figure(limit),
    ]


def safe_cell(text: str) -> str:
    """Return a text so that spreadsheets take it for a text, never for a formula.

    After OWASP's advice on CSV injection: an apostrophe before what begins like one.
    """
    return f"'{text}" if text.lstrip(" ").startswith(_RISKY) else text


def _figure(amount: Decimal | None) -> str:
    return "" if amount is None or not amount.is_finite() else f"{amount.normalize():f}"


def _csv(lines: Any) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(lines)
    return text.getvalue()
