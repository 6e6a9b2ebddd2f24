"""Proving that the quota counters are the sums of their ledger, and repairing those that are not.

The ledger is what happened: counters are set to its sums, and an open reservation to what it says the
reservation still holds. What it says is held by a reservation that is gone can never be settled, and is
refunded by an entry of its own. Whatever changes a counter holds the lock of its row until the ledger is
written and committed too, so what is compared under that lock is exact while the site works.
"""

# ruff: noqa: S608 (the SQL is put together from the constants of this module)

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.db import connection

from contexts.audit import record_system_audit
from contexts.models import EntryKind
from contexts.scope import system_scope


class Part(StrEnum):
    """What differs from the ledger."""

    MEMBER = "member"
    TENANT = "tenant"
    RESERVATION = "reservation"


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """A counter, or a line of a reservation, that is not what the ledger says."""

    part: Part
    tenant_id: UUID
    user_id: UUID | None
    """None for the counter of a whole tenant."""
    resource: str
    window_start: datetime
    reservation_id: UUID | None = None
    """Of a reservation; none where the ledger says no more than that something is reserved."""
    found: Mapping[str, Decimal]
    """What is there; 0 where there is no row."""
    ledger: Mapping[str, Decimal]
    """The sums of the ledger, of the same things."""

    @property
    def is_repairable(self) -> bool:
        """Tell whether a counter can be what the ledger says, which nobody can change."""
        return self.part == Part.RESERVATION or min(self.ledger.values()) >= 0


_TABLES = {Part.MEMBER: "contexts_quotausage", Part.TENANT: "contexts_tenantquotausage"}
_KEYS = {
    Part.MEMBER: "tenant_id, user_id, resource, window_start",
    Part.TENANT: "tenant_id, resource, window_start",
}
# Of a deleted tenant or user there is only the ledger.
_DIFFERENT_COUNTERS = """
SELECT tenant_id, {user}, resource, window_start, coalesce(c.used, 0), coalesce(c.reserved, 0),
    coalesce(e.used, 0), coalesce(e.reserved, 0)
FROM {table} c FULL JOIN (
    SELECT {key}, sum(used) AS used, sum(reserved) AS reserved FROM contexts_quotaentry GROUP BY {key}
) e USING ({key})
WHERE (coalesce(c.used, 0), coalesce(c.reserved, 0)) <> (coalesce(e.used, 0), coalesce(e.reserved, 0))
    AND EXISTS (SELECT FROM contexts_tenant t WHERE t.id = tenant_id)
    AND ({user} IS NULL OR EXISTS (SELECT FROM contexts_user u WHERE u.id = {user}))
ORDER BY tenant_id, resource, window_start, {user}
"""
_DIFFERENT_RESERVATIONS = """
SELECT tenant_id, user_id, resource, window_start, reservation_id, coalesce(held.amount, 0),
    coalesce(e.amount, 0)
FROM (
    SELECT r.tenant_id, r.user_id, r.id AS reservation_id, line.resource, line.window_start,
        sum(line.amount) AS amount
    FROM contexts_quotareservation r CROSS JOIN LATERAL
        unnest(r.resources, r.window_starts, r.amounts) AS line (resource, window_start, amount)
    GROUP BY r.id, line.resource, line.window_start
) held FULL JOIN (
    SELECT tenant_id, user_id, reservation_id, resource, window_start, sum(reserved) AS amount
    FROM contexts_quotaentry GROUP BY tenant_id, user_id, reservation_id, resource, window_start
    HAVING sum(reserved) <> 0
) e USING (tenant_id, user_id, reservation_id, resource, window_start)
WHERE coalesce(held.amount, 0) <> coalesce(e.amount, 0)
    AND EXISTS (SELECT FROM contexts_tenant t WHERE t.id = tenant_id)
ORDER BY tenant_id, reservation_id, resource, window_start
"""
_HELD_BY_LEDGER = """
SELECT coalesce(array_agg(line.resource ORDER BY resource, window_start), '{}'),
    coalesce(array_agg(line.window_start ORDER BY resource, window_start), '{}'),
    coalesce(array_agg(line.amount ORDER BY resource, window_start), '{}')
FROM (
    SELECT resource, window_start, sum(reserved) AS amount FROM contexts_quotaentry
    WHERE tenant_id = %s AND user_id = %s AND reservation_id = %s
    GROUP BY resource, window_start HAVING sum(reserved) > 0
) AS line
"""
_UNHELD = """
SELECT coalesce(sum(e.reserved), 0) FROM contexts_quotaentry e
WHERE e.tenant_id = %s AND e.user_id = %s AND e.resource = %s AND e.window_start = %s
    AND e.reservation_id IS NOT DISTINCT FROM %s
    AND NOT EXISTS (SELECT FROM contexts_quotareservation r WHERE r.id = e.reservation_id)
"""
_REFUND = """
INSERT INTO contexts_quotaentry
    (tenant_id, user_id, resource, window_start, reservation_id, kind, used, reserved)
    VALUES (%s, %s, %s, %s, %s, %s, 0, %s)
"""


def find_differences() -> list[Difference]:
    """Return what differs from the ledger: counters first. Changes nothing.

    Each kind is looked for by one statement, which sees any change of the quotas wholly or not at all.
    """
    with system_scope("prove the quota counters"):
        return [
            *_different_counters(Part.MEMBER),
            *_different_counters(Part.TENANT),
            *_different_reservations(),
        ]


def repair(difference: Difference) -> bool:
    """Repair what differs if it still does, and have the audit say so; return whether it did.

    Counters come before reservations. It is one transaction, in a system scope of its own.
    """
    if not difference.is_repairable:
        return False
    with system_scope("repair quota counters", always_audited=False):
        if difference.part != Part.RESERVATION:
            return _repair_counter(difference)
        return _repair_reservation(difference) or _refund(difference)


def _different_counters(part: Part) -> Iterator[Difference]:
    user = "user_id" if part == Part.MEMBER else "NULL::uuid"
    for row in _rows(_DIFFERENT_COUNTERS.format(table=_TABLES[part], key=_KEYS[part], user=user)):
        tenant_id, user_id, resource, window_start, *amounts = row
        yield Difference(
            part=part,
            tenant_id=tenant_id,
            user_id=user_id,
            resource=resource,
            window_start=window_start,
            found=_counter(amounts[:2]),
            ledger=_counter(amounts[2:]),
        )


def _different_reservations() -> Iterator[Difference]:
    for row in _rows(_DIFFERENT_RESERVATIONS):
        tenant_id, user_id, resource, window_start, reservation_id, held, ledger = row
        yield Difference(
            part=Part.RESERVATION,
            tenant_id=tenant_id,
            user_id=user_id,
            resource=resource,
            window_start=window_start,
            reservation_id=reservation_id,
            found={"reserved": held},
            ledger={"reserved": ledger},
        )


def _repair_counter(difference: Difference) -> bool:
    part, key = difference.part, _key(difference, difference.part)
    places = ", ".join(["%s"] * len(key))
    _execute(
        f"INSERT INTO {_TABLES[part]} ({_KEYS[part]}, used, reserved) VALUES ({places}, 0, 0) "
        "ON CONFLICT DO NOTHING",
        key,
    )
    found = _rows(f"SELECT used, reserved FROM {_TABLES[part]} WHERE {_where(part)} FOR UPDATE", key)[0]
    sums = "coalesce(sum(used), 0), coalesce(sum(reserved), 0)"
    ledger = _rows(f"SELECT {sums} FROM contexts_quotaentry WHERE {_where(part)}", key)[0]
    if found == ledger:
        return False
    _execute(
        f"UPDATE {_TABLES[part]} SET used = %s, reserved = %s, updated_at = clock_timestamp() "
        f"WHERE {_where(part)}",
        [*ledger, *key],
    )
    _record(difference, before=_counter(found), after=_counter(ledger))
    return True


def _repair_reservation(difference: Difference) -> bool:
    columns = "resources, window_starts, amounts"
    found = _rows(
        f"SELECT {columns} FROM contexts_quotareservation WHERE id = %s FOR UPDATE",
        [difference.reservation_id],
    )
    if not found:
        return False
    owner = [difference.tenant_id, difference.user_id, difference.reservation_id]
    ledger = _rows(_HELD_BY_LEDGER, owner)[0]
    if _lines(found[0]) == _lines(ledger):
        return False
    _execute(
        f"UPDATE contexts_quotareservation SET ({columns}) = (%s::text[], %s::timestamptz[], %s::numeric[]) "
        "WHERE id = %s",
        [*ledger, difference.reservation_id],
    )
    _record(difference, before=_lines(found[0]), after=_lines(ledger))
    return True


def _refund(difference: Difference) -> bool:
    keys = {part: _key(difference, part) for part in _TABLES}
    for part, table in _TABLES.items():
        _rows(f"SELECT FROM {table} WHERE {_where(part)} FOR UPDATE", keys[part])
    key = keys[Part.MEMBER]
    amount = _rows(_UNHELD, [*key, difference.reservation_id])[0][0]
    if not amount:
        return False
    _execute(_REFUND, [*key, difference.reservation_id, EntryKind.EXPIRED, -amount])
    for part, table in _TABLES.items():
        _execute(
            f"UPDATE {table} SET reserved = reserved - %s, updated_at = clock_timestamp() "
            f"WHERE {_where(part)}",
            [amount, *keys[part]],
        )
    _record(difference, before={"reserved": amount}, after={"reserved": 0})
    return True


def _where(part: Part) -> str:
    columns = _KEYS[part]
    return f"({columns}) = ({', '.join(['%s'] * len(columns.split()))})"


def _key(difference: Difference, part: Part) -> list[Any]:
    return [getattr(difference, name) for name in _KEYS[part].split(", ")]


def _counter(amounts: Sequence[Decimal]) -> dict[str, Decimal]:
    return dict(zip(("used", "reserved"), amounts, strict=True))


def _lines(columns: tuple[list[str], list[datetime], list[Decimal]]) -> dict[str, Decimal]:
    return {
        f"{resource} {start:%Y-%m-%d %H:%M}": amount
        for resource, start, amount in zip(*columns, strict=True)
        if amount
    }


def _record(difference: Difference, *, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    record_system_audit(
        "quota_reconciled",
        tenant_id=difference.tenant_id,
        user_id=difference.user_id,
        part=difference.part,
        resource=difference.resource,
        window_start=difference.window_start,
        reservation_id=difference.reservation_id,
        before=before,
        after=after,
    )


def _rows(sql: str, arguments: list[Any] | None = None) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, arguments)
        return list(cursor.fetchall())


def _execute(sql: str, arguments: list[Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, arguments)
