"""Asking for quota on behalf of an open context: set aside until it closes, or refused."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from functools import partial

from contexts.audit import record_audit
from contexts.context import UserExecutionContext
from contexts.database import call_from_anywhere
from contexts.exceptions import ContextClosedError, InvalidRequestError, LimitError
from contexts.quotas import Amount, Reservation, quotas_of, release_quota, reserve_quota
from contexts.register import CloseCallback
from contexts.reports import QuotaResult
from contexts.scope import owner_scope, scope
from contexts.selectors import limits_of


def enforce_quotas(
    context: UserExecutionContext,
    resources: Mapping[str, Amount],
    *,
    now: datetime,
    on_close: Callable[[UserExecutionContext, CloseCallback], None],
) -> QuotaResult:
    """Set `resources` (by name, in their units) aside until `context` closes: all of them or none.

    Returns where the user stands with the resource that was refused or, when all are allowed, with the
    one of which the smallest share is left.

    Raises:
        InvalidRequestError: when no resource is named, one is unknown, or an amount is negative or no
            number.
        ContextClosedError, QuarantinedError: when the context is not open any more.
        UnavailableError: when the database does not answer.
    """
    with scope(context):
        limits = limits_of(context.tier)
        amounts = _check(resources, known=limits)
        try:
            reservation = reserve_quota(context, amounts, now=now, limits=limits)
        except LimitError as refusal:
            standing = {quota.resource: quota for quota in quotas_of(context, now=now)}
            refused = standing[refusal.resource]
            record_audit(
                context,
                "quota_refused",
                resource=refused.resource,
                asked=str(amounts[refused.resource]),
                limit=str(refused.limit),
            )
            return replace(refused, allowed=False)
        standing = {quota.resource: quota for quota in quotas_of(context, now=now)}
    try:
        on_close(context, partial(call_from_anywhere, _release, reservation))
    except ContextClosedError:
        _release(reservation)
        raise
    return min((standing[name] for name in amounts), key=_share_left)


def _check(resources: Mapping[str, Amount], *, known: Mapping[str, object]) -> dict[str, Decimal]:
    if not resources:
        raise InvalidRequestError("Which resources are asked for?")
    amounts = {}
    for name, given in resources.items():
        if name not in known:
            raise InvalidRequestError(f"There is no resource of this name; there are {', '.join(known)}.")
        try:
            amount = Decimal(given)
        except (InvalidOperation, TypeError, ValueError):
            raise InvalidRequestError(f"The amount of {name} is not a number.") from None
        if not amount.is_finite() or amount < 0:
            raise InvalidRequestError(f"The amount of {name} is not a number of 0 or more.")
        amounts[name] = amount
    return amounts


def _share_left(quota: QuotaResult) -> Decimal:
    return quota.remaining / quota.limit if quota.limit else Decimal(0)


def _release(reservation: Reservation) -> None:
    with owner_scope(user_id=reservation.user_id, tenant_id=reservation.tenant_id):
        release_quota(reservation)
