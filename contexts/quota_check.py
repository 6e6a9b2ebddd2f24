"""Asking for quota on behalf of an open context: set aside until it closes, or refused."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from functools import partial

from contexts.audit import record_audit
from contexts.context import UserExecutionContext
from contexts.database import call_from_anywhere
from contexts.exceptions import ContextClosedError, InvalidRequestError, LimitError
from contexts.leases import get_lease_keeper
from contexts.quota_statements import Amount, Reservation
from contexts.quotas import quotas_of, release_quota, reserve_quota
from contexts.register import CloseCallback
from contexts.reports import QuotaResult
from contexts.scope import owner_scope, scope


def enforce_quotas(
    context: UserExecutionContext,
    resources: Mapping[str, Amount],
    *,
    now: datetime | None,
    on_close: Callable[[UserExecutionContext, CloseCallback], None],
) -> QuotaResult:
    """Set `resources` (by name, in their units) aside until `context` closes: all of them or none.

    Returns where the user stands with the resource that was refused or, when all are allowed, with the
    one of which the smallest share is left.

    Raises:
        InvalidRequestError: when no resource is named, one is unknown, or it cannot have the amount.
        ContextClosedError, QuarantinedError: when the context is not open any more.
        UnavailableError: when the database does not answer.
    """
    if not resources:
        raise InvalidRequestError("Which resources are asked for?")
    with scope(context):
        try:
            reservation = reserve_quota(context, resources, now=now)
        except LimitError as refusal:
            standing = quotas_of(context, resources=[refusal.resource], now=now)[refusal.resource]
            record_audit(
                context,
                "quota_refused",
                resource=refusal.resource,
                asked=str(resources[refusal.resource]),
                limit=str(refusal.limit),
            )
            return replace(standing, allowed=False)
        standings = quotas_of(context, resources=list(resources), now=now)
    get_lease_keeper().hold(reservation.id)
    try:
        on_close(context, partial(call_from_anywhere, _release, reservation))
    except ContextClosedError:
        _release(reservation)
        raise
    return min(standings.values(), key=_share_left)


def _share_left(quota: QuotaResult) -> Decimal:
    return quota.remaining / quota.limit if quota.limit else Decimal(0)


def _release(reservation: Reservation) -> None:
    get_lease_keeper().drop(reservation.id)
    with owner_scope(user_id=reservation.user_id, tenant_id=reservation.tenant_id):
        release_quota(reservation)
