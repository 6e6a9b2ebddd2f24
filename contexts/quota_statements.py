"""What the quota services say to the database, and what its answers mean; each is one statement.

The functions are the database's own (migrations `0008_quota_functions`, `0015_fenced_reservations`), so that
a change of counters, reservation and ledger is one round trip and one transaction.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from typing import Any, Protocol
from uuid import UUID

from contexts.exceptions import (
    FencedError,
    InvalidRequestError,
    LimitError,
    QuotaExceededError,
    RateLimitedError,
)
from contexts.models.amounts import AMOUNT_BOUND
from contexts.reports import QuotaResult
from contexts.resources import RULES, Window
from contexts.windows import window_end

Amount = Decimal | int | float
Statement = tuple[str, list[Any]]

_STEP = Decimal("0.000001")
_RESERVE = (
    'SELECT refused_by, resource, window_start, "limit", soft_percent, used, reserved '
    "FROM netra_reserve_quota(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
)
_SETTLE = "SELECT netra_settle_quota(%s, %s, %s, %s, %s, %s, %s)"
_FENCE = "SELECT netra_fence_quota(%s, %s, %s, %s, %s)"
_EXPIRE = "SELECT netra_expire_quotas(%s, %s)"
_RENEW = "SELECT id FROM netra_renew_quotas(%s, %s, %s) AS id"
_STANDING = (
    "SELECT asked.resource, l.window_start, l.member_limit, l.tenant_limit, l.soft_percent, "
    "coalesce(mine.used, 0), coalesce(mine.reserved, 0), "
    "coalesce(everyones.used, 0) + coalesce(everyones.reserved, 0) "
    "FROM unnest(%s::text[]) AS asked (resource) "
    "CROSS JOIN LATERAL netra_quota_limit(%s, %s, asked.resource, coalesce(%s, now())) AS l "
    "LEFT JOIN contexts_quotausage mine ON mine.tenant_id = %s AND mine.user_id = %s "
    "AND mine.resource = asked.resource AND mine.window_start = l.window_start "
    "LEFT JOIN contexts_tenantquotausage everyones ON everyones.tenant_id = %s "
    "AND everyones.resource = asked.resource AND everyones.window_start = l.window_start"
)


class Owner(Protocol):
    """Whose quota it is: a context, a user's standing, a reservation."""

    @property
    def tenant_id(self) -> UUID:
        """The tenant that they use it in."""

    @property
    def user_id(self) -> UUID:
        """The member."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reservation:
    """What was set aside for a piece of work; the database knows how much, and until when."""

    id: UUID
    tenant_id: UUID
    user_id: UUID
    fence: int | None = None
    """The attempt that draws on it, which changes nothing once a later one does; none is not checked."""


def reserve_statement(
    reservation: Reservation,
    amounts: Mapping[str, Amount],
    *,
    purpose: str,
    ttl: timedelta,
    now: datetime | None,
    extends: bool = False,
) -> Statement:
    """Say that `amounts` be set aside, or added to a reservation that it extends.

    Raises:
        InvalidRequestError: for an unknown resource, or an amount that it cannot have.
    """
    lasting = f"{ttl.total_seconds()} s"
    owner = [str(reservation.tenant_id), str(reservation.user_id)]
    amounts_asked = _columns(check_amounts(amounts))
    arguments = [*owner, purpose, lasting, *amounts_asked, now, extends, reservation.fence]
    return _RESERVE, [str(reservation.id), *arguments]


def use_statement(owner: Owner, amounts: Mapping[str, Amount], *, now: datetime | None) -> Statement:
    """Say that `amounts` are used at once; raises what `reserve_statement` does."""
    member = [str(owner.tenant_id), str(owner.user_id)]
    return _RESERVE, [None, *member, "", None, *_columns(check_amounts(amounts)), now, False, None]


def settle_statement(
    reservation: Reservation, actual: Mapping[str, Amount], *, keeps: bool, now: datetime | None
) -> Statement:
    """Say what was really used; `keeps` leaves the rest reserved. Raises what `reserve_statement` does."""
    checked = {name: amount for name, amount in check_amounts(actual).items() if amount}
    owner = [str(reservation.id), str(reservation.tenant_id)]
    return _SETTLE, [*owner, *_columns(checked), keeps, now, reservation.fence]


def fence_statement(
    reservation: Reservation, fence: int, *, frees: Collection[str], now: datetime | None
) -> Statement:
    """Say that attempt `fence` draws on a reservation from now on; what it held of `frees` is free again."""
    owner = [str(reservation.id), str(reservation.tenant_id)]
    return _FENCE, [*owner, fence, f"{{{','.join(frees)}}}", now]


def renew_statement(ids: Collection[UUID], *, ttl: timedelta, now: datetime | None) -> Statement:
    """Say that reservations last `ttl` from now."""
    return _RENEW, [list(ids), ttl, now]


def expire_statement(tenant_id: UUID, *, now: datetime | None) -> Statement:
    """Say that a tenant's expired reservations be refunded."""
    return _EXPIRE, [tenant_id, now]


def standing_statement(owner: Owner, resources: Sequence[str], *, now: datetime | None) -> Statement:
    """Ask for the limits that hold for a member, and where they stand; `standing` reads the answer."""
    member = [owner.tenant_id, owner.user_id]
    return _STANDING, [list(resources), *member, now, *member, owner.tenant_id]


def standing(rows: Sequence[Sequence[Any]]) -> dict[str, QuotaResult]:
    """Return where a member stands, by resource in the usual order."""
    found = {}
    for resource, start, limit, tenant_limit, soft_percent, used, reserved, everyones in rows:
        found[resource] = replace(
            _quota(resource, start, limit, soft_percent, used, reserved),
            left_for_all=tenant_limit - everyones if tenant_limit.is_finite() else None,
        )
    return {name: found[name] for name in RULES if name in found}


def granted(rows: Sequence[Sequence[Any]]) -> list[QuotaResult]:
    """Return where the member stands after a reservation or use, for each of its resources.

    No result: there was no such reservation to extend.

    Raises:
        QuotaExceededError, RateLimitedError: when it was refused.
        FencedError: when a later attempt draws on the reservation.
    """
    results = []
    for refused_by, *values in rows:
        if refused_by == "fence":
            raise FencedError("A later attempt draws on this reservation.")
        quota = _quota(*values)
        if refused_by is not None:
            raise refusal(quota, is_tenants=refused_by == "tenant")
        results.append(quota)
    return results


def refusal(quota: QuotaResult, *, is_tenants: bool = False) -> LimitError:
    """Return the error that says which limit is used up, and until when."""
    kind = RateLimitedError if quota.window == Window.MINUTE else QuotaExceededError
    return kind(
        f"{_reason(quota, is_tenants=is_tenants)}{_way_out(quota)}",
        resource=quota.resource,
        limit=quota.limit,
        used=quota.used,
        reserved=quota.reserved,
        resets_at=quota.resets_at,
    )


def _reason(quota: QuotaResult, *, is_tenants: bool) -> str:
    limit = RULES[quota.resource].describe(quota.limit)
    left = max(Decimal(0), quota.limit - quota.used - quota.reserved)
    whose = " in your organisation" if is_tenants else ""
    if quota.window == Window.LEASE:
        return f"At most {limit} are allowed{whose}."
    period = f" a {quota.window}" if quota.resets_at else ""
    if left:
        rest = RULES[quota.resource].describe(left)
        return f"Of {limit}{period}{whose} only {rest} are left, which does not suffice."
    return f"The limit of {limit}{period}{whose} is used up."


def _way_out(quota: QuotaResult) -> str:
    if quota.resets_at:
        return f" It is free again at {quota.resets_at:%Y-%m-%d %H:%M} UTC."
    return " Delete something to make room." if quota.window == Window.TOTAL else ""


def check_amounts(amounts: Mapping[str, Amount]) -> dict[str, Decimal]:
    """Return the amounts as the database keeps them, rounded up to a millionth, sorted by resource.

    Raises:
        InvalidRequestError: for an unknown resource, or an amount that it cannot have.
    """
    checked: dict[str, Decimal] = {}
    for name in sorted(map(str, amounts)):
        rule = RULES.get(name)
        if rule is None:
            raise InvalidRequestError(f"There is no resource of this name; there are {', '.join(RULES)}.")
        value = amounts[name]
        if isinstance(value, bool) or not isinstance(value, Decimal | int | float):
            raise InvalidRequestError(f"The amount of {name} is not a number.")
        # A float as it is written: 0.1, not the binary fraction a little above it.
        amount = Decimal(str(value) if isinstance(value, float) else value)
        if not amount.is_finite() or not 0 <= amount < AMOUNT_BOUND:
            raise InvalidRequestError(f"The amount of {name} is not a number from 0 to {AMOUNT_BOUND:,.0f}.")
        if rule.is_whole and amount != amount.to_integral_value():
            raise InvalidRequestError(f"{name} are counted in whole numbers.")
        checked[name] = amount.quantize(_STEP, rounding=ROUND_CEILING)
    return checked


def _quota(
    resource: str, start: datetime, limit: Decimal, soft_percent: int, used: Decimal, reserved: Decimal
) -> QuotaResult:
    rule = RULES[resource]
    soft_limit = limit * soft_percent / 100
    return QuotaResult(
        resource=resource,
        window=rule.window,
        limit=limit,
        soft_limit=soft_limit.to_integral_value(ROUND_CEILING) if rule.is_whole else soft_limit,
        used=used,
        reserved=reserved,
        resets_at=window_end(rule.window, now=start),
    )


def _columns(amounts: Mapping[str, Decimal]) -> list[str]:
    # Arrays, like the identifiers, as PostgreSQL writes them: cheaper than to have the driver convert them.
    return [f"{{{','.join(amounts)}}}", f"{{{','.join(map(str, amounts.values()))}}}"]
