"""Reserving, drawing, settling and releasing what users may use; exact with any number at once.

A reservation sets amounts aside, for the member and the whole tenant, all of them or none; what is really
used is drawn from it while the work goes on and settled at its end. Each call is one statement, and joins
the caller's transaction where there is one. `contexts.metering` has the same for coroutines.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import nullcontext
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import InterfaceError, OperationalError, connection, transaction
from psycopg_pool import PoolTimeout

from contexts.exceptions import LimitError, UnavailableError
from contexts.identifiers import new_id
from contexts.models import EntryKind
from contexts.quota_statements import (
    Amount,
    Owner,
    Reservation,
    Statement,
    check_amounts,
    expire_statement,
    fence_statement,
    granted,
    renew_statement,
    reserve_statement,
    settle_statement,
    standing,
    standing_statement,
    use_statement,
)
from contexts.reports import QuotaResult
from contexts.resources import RULES

RESERVATION_TTL = timedelta(seconds=60)
"""How long a reservation lasts unless it is renewed or another time is asked for."""


def reserve_quota(
    owner: Owner,
    amounts: Mapping[str, Amount],
    ttl: timedelta = RESERVATION_TTL,
    *,
    purpose: str = "context",
    reservation_id: UUID | None = None,
    now: datetime | None = None,
) -> Reservation:
    """Set `amounts` (by resource, in its unit) aside for a context's user: all of them or none.

    It is refunded by itself once `ttl` has passed without `renew_quotas`. `now` is the database's clock
    unless it is given.

    Raises:
        QuotaExceededError: naming the resource, its limit, what is used and reserved, and when it resets.
        RateLimitedError: the same, for what counts by the minute.
        InvalidRequestError: for an unknown resource, or an amount that it cannot have.
        UnavailableError: when the database does not answer.
    """
    reservation = Reservation(id=reservation_id or new_id(), tenant_id=owner.tenant_id, user_id=owner.user_id)
    _granted(reserve_statement(reservation, amounts, purpose=purpose, ttl=ttl, now=now), owner, now=now)
    return reservation


def extend_quota(
    reservation: Reservation, amounts: Mapping[str, Amount], *, now: datetime | None = None
) -> bool:
    """Add `amounts` to a reservation: all of them or none; return false when it has ended.

    Raises:
        QuotaExceededError, RateLimitedError, InvalidRequestError, UnavailableError: as `reserve_quota` does.
        FencedError: when the reservation's fence is not its own any more.
    """
    statement = reserve_statement(
        reservation, amounts, purpose="", ttl=RESERVATION_TTL, now=now, extends=True
    )
    return bool(_granted(statement, reservation, now=now))


def use_quota(owner: Owner, amounts: Mapping[str, Amount], *, now: datetime | None = None) -> None:
    """Use `amounts` at once: all of them or none.

    Raises:
        QuotaExceededError, RateLimitedError, InvalidRequestError, UnavailableError: as `reserve_quota` does.
    """
    _granted(use_statement(owner, amounts, now=now), owner, now=now)


def draw_quota(
    reservation: Reservation, actual: Mapping[str, Amount], *, now: datetime | None = None
) -> bool:
    """Note what was used of a reservation so far; the rest stays reserved. False when it has ended.

    What was used is used: it counts even where it is more than was reserved. Only where a later attempt draws
    on the reservation nothing changes, as if it had ended.
    """
    return bool(_rows(settle_statement(reservation, actual, keeps=True, now=now))[0][0])


def settle_quota(
    reservation: Reservation, actual: Mapping[str, Amount], *, now: datetime | None = None
) -> bool:
    """End a reservation: `actual` was used since the last draw, the rest is free again.

    Returns false when it had ended already or a later attempt draws on it, and then changes nothing.
    """
    return bool(_rows(settle_statement(reservation, actual, keeps=False, now=now))[0][0])


def fence_quota(
    reservation: Reservation, fence: int, *, frees: Collection[str] = (), now: datetime | None = None
) -> bool:
    """Have attempt `fence` (1 for the first) draw on a reservation, and no earlier one any more.

    What an earlier one had set aside of the resources `frees` and not used is free again, before this one
    sets anything aside. Called again it changes nothing. Returns false when the reservation has ended or a
    later attempt draws on it.

    Raises:
        UnavailableError: when the database does not answer.
    """
    return bool(_rows(fence_statement(reservation, fence, frees=frees, now=now))[0][0])


def release_quota(reservation: Reservation) -> bool:
    """Give back what is still reserved; return false when it had ended already."""
    return settle_quota(reservation, {})


def release_quotas(reservations: Iterable[Reservation]) -> int:
    """End many reservations without a use, all of them or none; return how many had not ended before.

    Raises:
        UnavailableError: when the database does not answer.
    """
    ids = [reservation.id for reservation in reservations]
    return int(_rows(("SELECT netra_release_quotas(%s)", [ids]))[0][0])


def renew_quotas(
    ids: Collection[UUID], *, ttl: timedelta = RESERVATION_TTL, now: datetime | None = None
) -> set[UUID]:
    """Have reservations last `ttl` from now; return those that have not ended."""
    return {row[0] for row in _rows(renew_statement(ids, ttl=ttl, now=now))}


def give_back_quota(
    *,
    user_id: UUID,
    tenant_id: UUID,
    resource: str,
    amount: Amount,
    window_start: datetime,
    kind: EntryKind = EntryKind.GIVEN_BACK,
) -> Decimal:
    """Take back what was used of something that is gone, such as stored bytes; return how much.

    Raises:
        InvalidRequestError: for an unknown resource, or an amount that it cannot have.
    """
    less = check_amounts({resource: amount})[str(resource)]
    arguments = [tenant_id, user_id, str(resource), window_start, less, str(kind)]
    taken: Decimal = _rows(("SELECT netra_correct_quota(%s, %s, %s, %s, %s, %s, NULL)", arguments))[0][0]
    return taken


def expire_quotas(*, tenant_id: UUID | None = None, now: datetime | None = None) -> int:
    """Refund the reservations that have expired, of one tenant or all; return how many there were.

    Needs a system scope, unless it is for the tenant of the scope that is open.
    """
    if tenant_id is not None:
        tenants = [tenant_id]
    else:
        sql = (
            "SELECT DISTINCT tenant_id FROM contexts_quotareservation "
            "WHERE expires_at <= coalesce(%s, clock_timestamp()) ORDER BY 1"
        )
        tenants = [row[0] for row in _rows((sql, [now]))]
    return sum(_rows(expire_statement(tenant, now=now))[0][0] for tenant in tenants)


def quotas_of(
    owner: Owner,
    *,
    resources: Sequence[str] = tuple(RULES),
    now: datetime | None = None,
) -> dict[str, QuotaResult]:
    """Return where a member stands with each resource: limits as they are now, and use.

    Needs their scope. `now` is the database's clock unless it is given.
    """
    return standing(_rows(standing_statement(owner, resources, now=now)))


def limit_of(owner: Owner, resource: str) -> Decimal:
    """Return how much of a resource a member may have now. Needs their scope."""
    return quotas_of(owner, resources=[resource])[resource].limit


def _granted(statement: Statement, owner: Owner, *, now: datetime | None) -> list[QuotaResult]:
    try:
        # A refusal leaves the counters as they were; undone, it also lets go of them before others are waited
        # for.
        with transaction.atomic() if connection.in_atomic_block else nullcontext():
            return granted(_rows(statement))
    except LimitError:
        # What dead processes had reserved may make room, also when somebody else has refunded it meanwhile.
        expire_quotas(tenant_id=owner.tenant_id, now=now)
        return granted(_rows(statement))


def _rows(statement: Statement) -> list[Any]:
    try:
        with connection.cursor() as cursor:
            cursor.execute(*statement)
            return list(cursor.fetchall())
    except (OperationalError, InterfaceError, PoolTimeout) as error:
        raise UnavailableError("The database does not answer now; try again in a moment.") from error
