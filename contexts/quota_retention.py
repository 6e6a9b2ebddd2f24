"""Deleting quota counters together with their ledger, once their window is long over."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import OperationalError, connection
from psycopg.errors import LockNotAvailable

from contexts.audit import record_system_audit
from contexts.resources import RULES, Window
from contexts.scope import system_scope

KEPT = {
    Window.MINUTE: timedelta(days=1),
    Window.DAY: timedelta(days=400),
    Window.MONTH: timedelta(days=400),
}
"""How long after its start a window is kept; what counts in no such window is kept for good."""
BATCH = 2_000
"""How many windows of a tenant are deleted in one transaction."""

_OLD = (
    "EXISTS (SELECT FROM unnest(%(resources)s::text[], %(before)s::timestamptz[]) AS old (resource, before)"
)
_OLD += " WHERE old.resource = {0}.resource AND {0}.window_start < old.before)"
_TENANTS = f"SELECT DISTINCT tenant_id FROM contexts_tenantquotausage c WHERE {_OLD.format('c')}"  # noqa: S608
# Neither statement waits for a lock while it holds another, so that nobody ever waits for this in a circle.
_LOCK_WINDOWS = f"""
SELECT resource, window_start FROM contexts_tenantquotausage c
WHERE tenant_id = %(tenant)s AND reserved = 0 AND {_OLD.format("c")}
ORDER BY window_start, resource LIMIT %(batch)s FOR UPDATE SKIP LOCKED
"""  # noqa: S608 - put together from constants
_IN_WINDOWS = (
    "c.tenant_id = %(tenant)s AND (c.resource, c.window_start) IN "
    "(SELECT * FROM unnest(%(names)s::text[], %(starts)s::timestamptz[]))"
)
_LOCK_COUNTERS = f"SELECT FROM contexts_quotausage c WHERE {_IN_WINDOWS} FOR UPDATE NOWAIT"
_DELETE_ORPHANS = f"""
DELETE FROM contexts_quotaentry c WHERE {_OLD.format("c")}
    AND NOT EXISTS (SELECT FROM contexts_tenant t WHERE t.id = c.tenant_id)
"""  # noqa: S608 - put together from constants


@dataclass(frozen=True, kw_only=True, slots=True)
class PrunedQuotas:
    """What was deleted."""

    counters: int = 0
    """Counters, of members and tenants."""
    entries: int = 0
    """Entries of the ledger."""

    def __add__(self, other: "PrunedQuotas") -> "PrunedQuotas":
        return PrunedQuotas(counters=self.counters + other.counters, entries=self.entries + other.entries)


def prune_quotas(*, now: datetime | None = None) -> PrunedQuotas:
    """Delete old counters and all their entries, so that what is left still adds up; return how much.

    A window in which anything is reserved, or is being changed just now, is left for the next time. Opens
    system scopes itself, one for each batch; what each deleted is audited.
    """
    now = now or datetime.now(UTC)
    old = {name: now - KEPT[rule.window] for name, rule in RULES.items() if rule.window in KEPT}
    arguments: dict[str, Any] = {"resources": list(old), "before": list(old.values())}
    with system_scope("prune quotas: choose tenants", always_audited=False):
        tenants = [row[0] for row in _rows(_TENANTS, arguments)]
    pruned = PrunedQuotas()
    for tenant_id in tenants:
        while True:
            batch, windows = _prune_batch(tenant_id, arguments)
            pruned += batch
            if windows < BATCH:
                break
    return pruned + _prune_orphans(arguments)


def _prune_batch(tenant_id: UUID, old: dict[str, Any]) -> tuple[PrunedQuotas, int]:
    try:
        with system_scope("prune quotas", always_audited=False):
            windows = _rows(_LOCK_WINDOWS, {**old, "tenant": tenant_id, "batch": BATCH})
            if not windows:
                return PrunedQuotas(), 0
            names, starts = zip(*windows, strict=True)
            chosen = {"tenant": tenant_id, "names": list(names), "starts": list(starts)}
            _execute(_LOCK_COUNTERS, chosen)
            _execute("SELECT set_config('netra.quota_retention', 'on', true)")
            entries, mine, everyones = (
                _execute(f"DELETE FROM {table} c WHERE {_IN_WINDOWS}", chosen)  # noqa: S608
                for table in ("contexts_quotaentry", "contexts_quotausage", "contexts_tenantquotausage")
            )
            _execute("SELECT set_config('netra.quota_retention', '', true)")
            pruned = PrunedQuotas(counters=mine + everyones, entries=entries)
            _record(pruned, tenant_id=tenant_id, up_to=max(starts))
            return pruned, len(windows)
    except OperationalError as error:
        if not isinstance(error.__cause__, LockNotAvailable):
            raise
        return PrunedQuotas(), 0


def _prune_orphans(old: dict[str, Any]) -> PrunedQuotas:
    """Delete old entries of tenants that are deleted; their counters went with them."""
    with system_scope("prune quotas of deleted tenants", always_audited=False):
        _execute("SELECT set_config('netra.quota_retention', 'on', true)")
        pruned = PrunedQuotas(entries=_execute(_DELETE_ORPHANS, old))
        _execute("SELECT set_config('netra.quota_retention', '', true)")
        if pruned.entries:
            _record(pruned, tenant_id=None)
    return pruned


def _record(pruned: PrunedQuotas, *, tenant_id: UUID | None, **details: Any) -> None:
    record_system_audit(
        "quotas_pruned", tenant_id=tenant_id, counters=pruned.counters, entries=pruned.entries, **details
    )


def _rows(sql: str, arguments: dict[str, Any]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, arguments)
        return list(cursor.fetchall())


def _execute(sql: str, arguments: dict[str, Any] | None = None) -> int:
    with connection.cursor() as cursor:
        cursor.execute(sql, arguments)
        return int(cursor.rowcount)
