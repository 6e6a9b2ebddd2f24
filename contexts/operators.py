"""What operators do about quotas and accounts, and how the audit keeps it: who, what, before and after."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Field, Model

from contexts.audit import record_system_audit
from contexts.exceptions import ConflictError, InvalidRequestError
from contexts.models import EntryKind, QuotaUsage, Tenant, User
from contexts.models.amounts import AMOUNT_BOUND
from contexts.quotas import give_back_quota
from contexts.resources import RULES
from contexts.signals import quotas_changed
from contexts.windows import window_start

RESETTABLE = tuple(name for name, rule in RULES.items() if rule.window in {"minute", "day", "month"})
"""What is free again in time anyway. Leases end with the work, and stored bytes are really there."""

Values = dict[str, Any]


def reset_quota(
    *,
    actor: User,
    tenant_id: UUID,
    user_id: UUID,
    resource: str,
    began_at: datetime,
    reason: str,
    now: datetime,
) -> Decimal:
    """Set what a member has used in the window that began at `began_at` back to nothing; return how much.

    What work under way has reserved stays reserved. Needs a system scope.

    Raises:
        InvalidRequestError: for a resource without a window of time, or without a reason.
        ConflictError: when that window is over, or nothing of it is used.
    """
    if resource not in RESETTABLE:
        raise InvalidRequestError(f"What can be reset: {', '.join(RESETTABLE)}.")
    if not reason.strip():
        raise InvalidRequestError("A counter is reset for a reason.")
    if began_at != window_start(RULES[resource].window, now=now):
        raise ConflictError("That window is over, and the counter of the next one is another.")
    used = give_back_quota(
        tenant_id=tenant_id,
        user_id=user_id,
        resource=resource,
        amount=AMOUNT_BOUND - 1,
        window_start=began_at,
        kind=EntryKind.RESET,
    )
    if not used:
        raise ConflictError("Nothing of it is used.")
    record_system_audit(
        "quota_reset",
        tenant_id=tenant_id,
        user_id=actor.id,
        member=str(user_id),
        resource=str(resource),
        window_start=began_at,
        before={"used": used},
        after={"used": Decimal(0)},
        reason=reason.strip(),
    )
    transaction.on_commit(
        lambda: quotas_changed.send(
            sender=QuotaUsage, user_id=user_id, tenant_id=tenant_id, resources=(str(resource),)
        ),
        robust=True,
    )
    return used


def values_of(row: Model, names: Iterable[str] | None = None) -> Values:
    """Return a row's values as the audit shows them, of the fields `names` or all."""
    fields = row._meta.concrete_fields if names is None else [row._meta.get_field(name) for name in names]
    return {field.name: _value(row, field) for field in fields}  # type: ignore[arg-type]


def record_staff_change(actor: User, row: Model, *, before: Values | None, after: Values | None) -> None:
    """Append what an operator added, changed or deleted to the audit: only the values that differ.

    Without `before` it is new, without `after` it is gone; nothing is appended where nothing differs.
    """
    old, new = before or {}, after or {}
    differing = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    if not differing:
        return
    verb = "added" if before is None else "deleted" if after is None else "changed"
    tenant_id = row.pk if isinstance(row, Tenant) else getattr(row, "tenant_id", None)
    record_system_audit(
        f"{row._meta.verbose_name}_{verb}".replace(" ", "_"),
        tenant_id=tenant_id,
        user_id=actor.id,
        row=str(row.pk),
        name=str(row),
        **_about(row),
        before={name: old[name] for name in differing if name in old},
        after={name: new[name] for name in differing if name in new},
    )


def _about(row: Model) -> Values:
    """Return what says which row it is, where only its figures differ."""
    resource = getattr(row, "resource", None)
    return {} if resource is None else {"resource": str(resource)}


def _value(row: Model, field: "Field[Any, Any]") -> Any:
    if field.many_to_many:
        return sorted(map(str, getattr(row, field.name).all()))
    value = getattr(row, field.attname)
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    if field.is_relation and value is not None:
        # A tier's name says more than its id.
        return getattr(getattr(row, field.name), "slug", None) or str(value)
    return value
