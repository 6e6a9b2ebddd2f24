"""Reserving, settling and releasing what users may use, in single conditional statements."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from contexts.context import UserExecutionContext
from contexts.exceptions import LimitError, QuotaExceededError, RateLimitedError
from contexts.models import QuotaUsage, Resource, Window
from contexts.reports import QuotaResult
from contexts.selectors import Limit, limits_of
from contexts.windows import window_end, window_start

Amount = Decimal | int

# Reserves only where it fits: an insert that is too large writes nothing, an update that would pass
# the limit changes nothing; either way no row comes back.
_TAKE = """
INSERT INTO contexts_quotausage AS usage
    (tenant_id, user_id, resource, window_start, used, reserved, updated_at)
SELECT %(tenant)s, %(user)s, %(resource)s, %(window_start)s, %(used)s, %(reserved)s, now()
WHERE %(used)s + %(reserved)s <= %(limit)s
ON CONFLICT (user_id, tenant_id, resource, window_start) DO UPDATE
SET used = usage.used + excluded.used, reserved = usage.reserved + excluded.reserved, updated_at = now()
WHERE usage.used + usage.reserved + excluded.used + excluded.reserved <= %(limit)s
RETURNING used + reserved
"""
_SETTLE = """
UPDATE contexts_quotausage
SET reserved = reserved - %(reserved)s, used = used + %(used)s, updated_at = now()
WHERE user_id = %(user)s AND tenant_id = %(tenant)s
  AND resource = %(resource)s AND window_start = %(window_start)s
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reservation:
    """What was set aside for a piece of work, by resource, and in which windows."""

    user_id: UUID
    tenant_id: UUID
    amounts: Mapping[str, tuple[Decimal, datetime]]

    def to_json(self) -> dict[str, list[str]]:
        """Return the amounts and window starts as JSON-like data."""
        return {name: [str(amount), start.isoformat()] for name, (amount, start) in self.amounts.items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any], *, user_id: UUID, tenant_id: UUID) -> "Reservation":
        """Read what `to_json` wrote."""
        amounts = {
            name: (Decimal(amount), datetime.fromisoformat(start)) for name, (amount, start) in data.items()
        }
        return cls(user_id=user_id, tenant_id=tenant_id, amounts=amounts)


def reserve_quota(
    context: UserExecutionContext,
    amounts: Mapping[str, Amount],
    *,
    now: datetime,
    limits: Mapping[str, Limit] | None = None,
) -> Reservation:
    """Set `amounts` (by resource, in its unit) aside for the context's user: all of them or none.

    `limits` are the tier's, where the caller has just read them.

    Raises:
        QuotaExceededError: naming the resource, its limit and when it resets.
        RateLimitedError: the same, for what counts by the minute.
        ValueError: for an amount that is negative or not finite.
    """
    return _take(context, amounts, now=now, limits=limits, at_once=False)


def use_quota(
    context: UserExecutionContext,
    amounts: Mapping[str, Amount],
    *,
    now: datetime,
    limits: Mapping[str, Limit] | None = None,
) -> None:
    """Use `amounts` at once: all of them or none.

    Raises:
        QuotaExceededError, RateLimitedError, ValueError: as `reserve_quota` does.
    """
    _take(context, amounts, now=now, limits=limits, at_once=True)


def settle_quota(reservation: Reservation, actual: Mapping[str, Amount]) -> None:
    """Turn a reservation into what was really used; resources not in `actual` are released."""
    with transaction.atomic(savepoint=False), connection.cursor() as cursor:
        for resource, (amount, start) in sorted(reservation.amounts.items()):
            cursor.execute(
                _SETTLE,
                {
                    "tenant": reservation.tenant_id,
                    "user": reservation.user_id,
                    "resource": resource,
                    "window_start": start,
                    "reserved": amount,
                    "used": Decimal(actual.get(resource, 0)),
                },
            )


def release_quota(reservation: Reservation) -> None:
    """Give a whole reservation back."""
    settle_quota(reservation, {})


def give_back_quota(
    *, user_id: UUID, tenant_id: UUID, resource: Resource, amount: Amount, window_start: datetime
) -> None:
    """Take back what was used of something that has ceased to exist, such as stored bytes."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE contexts_quotausage SET used = greatest(0, used - %s), updated_at = now() "
            "WHERE user_id = %s AND tenant_id = %s AND resource = %s AND window_start = %s",
            [Decimal(amount), user_id, tenant_id, str(resource), window_start],
        )


def quotas_of(context: UserExecutionContext, *, now: datetime) -> list[QuotaResult]:
    """Return where the context's user stands with every limited resource."""
    limits = limits_of(context.tier)
    starts = {name: window_start(limit.window, now=now) for name, limit in limits.items()}
    rows = {
        (row.resource, row.window_start): row
        for row in QuotaUsage.objects.filter(
            user_id=context.user_id, tenant_id=context.tenant_id, window_start__in=set(starts.values())
        )
    }
    results = []
    for name, limit in limits.items():
        row = rows.get((name, starts[name]))
        results.append(
            QuotaResult(
                resource=name,
                window=limit.window,
                limit=limit.limit,
                soft_limit=limit.soft_limit,
                used=row.used if row else Decimal(0),
                reserved=row.reserved if row else Decimal(0),
                resets_at=window_end(limit.window, now=now),
            )
        )
    return results


def _take(
    context: UserExecutionContext,
    amounts: Mapping[str, Amount],
    *,
    now: datetime,
    limits: Mapping[str, Limit] | None,
    at_once: bool,
) -> Reservation:
    limits = limits or limits_of(context.tier)
    taken: dict[str, tuple[Decimal, datetime]] = {}
    with transaction.atomic(), connection.cursor() as cursor:
        for resource in sorted(amounts):
            amount, limit = Decimal(amounts[resource]), limits[resource]
            if not amount.is_finite() or amount < 0:
                raise ValueError(f"{amount} {resource} cannot be reserved.")
            start = window_start(limit.window, now=now)
            cursor.execute(
                _TAKE,
                {
                    "tenant": context.tenant_id,
                    "user": context.user_id,
                    "resource": resource,
                    "window_start": start,
                    "used": amount if at_once else Decimal(0),
                    "reserved": Decimal(0) if at_once else amount,
                    "limit": limit.limit,
                },
            )
            if cursor.fetchone() is None:
                raise _limit_error(limit, now=now)
            taken[resource] = (amount, start)
    return Reservation(user_id=context.user_id, tenant_id=context.tenant_id, amounts=taken)


def _limit_error(limit: Limit, *, now: datetime) -> LimitError:
    kind = RateLimitedError if limit.window == Window.MINUTE else QuotaExceededError
    resets_at = window_end(limit.window, now=now)
    until = f" It is free again at {resets_at:%Y-%m-%d %H:%M} UTC." if resets_at else ""
    period = f" a {limit.window}" if resets_at else ""
    name = limit.resource.replace("_", " ")
    return kind(
        f"The limit of {limit.limit.normalize():f} {name}{period} is used up.{until}",
        resource=limit.resource,
        limit=limit.limit,
        resets_at=resets_at,
    )
