"""Drawing on a reservation from coroutines, while the work that it is for goes on."""

import logging
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from psycopg import OperationalError
from psycopg_pool import PoolTimeout

from contexts.database import async_pool
from contexts.exceptions import ConflictError, LimitError, QuotaExceededError, UnavailableError
from contexts.quota_statements import (
    Amount,
    Reservation,
    Statement,
    check_amounts,
    expire_statement,
    granted,
    reserve_statement,
    settle_statement,
)
from contexts.reports import QuotaResult

logger = logging.getLogger(__name__)

Taken = Mapping[str, Decimal]


class QuotaMeter:
    """Takes from one reservation for all the agents and tools of a run, and extends it where it must.

    What was taken is put back with what was really used of it. Belongs to one event loop; any number of
    tasks may take at once. Once a later attempt draws on the reservation (`contexts.quotas.fence_quota`),
    this one changes nothing any more.
    """

    def __init__(self, reservation: Reservation) -> None:
        """Draw on `reservation`, of which nothing is taken yet."""
        self._reservation = reservation
        self._free: defaultdict[str, Decimal] = defaultdict(Decimal)
        self._standing: dict[str, QuotaResult] = {}

    @property
    def reservation(self) -> Reservation:
        """Return what is drawn on."""
        return self._reservation

    @property
    def standing(self) -> Mapping[str, QuotaResult]:
        """Return where the user stood with each resource when it was last extended."""
        return MappingProxyType(self._standing)

    async def take(self, amounts: Mapping[str, Amount]) -> Taken:
        """Have `amounts` (by resource, in its unit) reserved, all of them or none, for `put_back`.

        Raises:
            QuotaExceededError: naming the resource and where the user stands with it.
            InvalidRequestError: for an unknown resource, or an amount that it cannot have.
            ConflictError: when the reservation has ended.
            FencedError: when a later attempt draws on the reservation.
            UnavailableError: when the database does not answer.
        """
        asked = check_amounts(amounts)
        lacking = {
            name: amount - self._free[name] for name, amount in asked.items() if amount > self._free[name]
        }
        # Before the wait, so that no other task counts on the same.
        for name, amount in asked.items():
            self._free[name] -= min(amount, self._free[name])
        try:
            if lacking:
                await self._extend(lacking)
        except BaseException:
            for name, amount in asked.items():
                self._free[name] += amount - lacking.get(name, Decimal(0))
            raise
        return asked

    async def take_up_to(self, resource: str, amount: Amount) -> Taken:
        """Have `amount` of one resource reserved, or as much as there is left; raises what `take` does."""
        try:
            return await self.take({resource: amount})
        except QuotaExceededError as refusal:
            left = refusal.remaining + self._free[resource]
            if left <= 0:
                raise
            return await self.take({resource: min(left, Decimal(amount))})

    async def put_back(self, taken: Taken, used: Mapping[str, Amount]) -> None:
        """Note what was really used of what was taken; more than that counts all the same.

        What is used after the reservation has ended, or has gone to a later attempt, is logged and counts
        nothing: whoever carries the work on or has ended it has settled it.

        Raises:
            InvalidRequestError, UnavailableError: as `take` does.
        """
        actual = check_amounts(used)
        for name, amount in taken.items():
            self._free[name] += max(Decimal(0), amount - actual.get(name, Decimal(0)))
        if any(actual.values()):
            drawn = await self._rows(settle_statement(self._reservation, actual, keeps=True, now=None))
            if not drawn[0][0]:
                log_lost_use(self._reservation, actual)
                self._free.clear()  # nothing is set aside any more, so that whoever takes next hears of it
                return
            for name, amount in actual.items():
                if quota := self._standing.get(name):
                    self._standing[name] = replace(
                        quota,
                        used=quota.used + amount,
                        reserved=quota.reserved - min(amount, taken.get(name, Decimal(0))),
                    )

    async def _extend(self, amounts: Mapping[str, Amount]) -> None:
        statement = reserve_statement(
            self._reservation, amounts, purpose="", ttl=timedelta(0), now=None, extends=True
        )
        try:
            results = granted(await self._rows(statement))
        except LimitError:
            # As in `contexts.quotas`: what dead processes had reserved may make room.
            await self._rows(expire_statement(self._reservation.tenant_id, now=None))
            results = granted(await self._rows(statement))
        if not results:
            raise ConflictError("The run's quota was given back already.")
        self._standing |= {result.resource: result for result in results}

    async def _rows(self, statement: Statement) -> list[Any]:
        try:
            pool = await async_pool()
            async with pool.connection() as connection:
                cursor = await connection.execute(*statement)
                return list(await cursor.fetchall())
        except (OperationalError, PoolTimeout) as error:
            raise UnavailableError("The database does not answer now; try again in a moment.") from error


def log_lost_use(reservation: Reservation, actual: Mapping[str, Amount]) -> None:
    """Log what was used of a reservation that could not be drawn on any more."""
    used = ", ".join(f"{float(amount):.10g} {name}" for name, amount in actual.items() if amount)
    logger.warning(
        "Used after reservation %s had ended or gone to another attempt than %s, and not counted: %s",
        reservation.id,
        reservation.fence,
        used,
    )
