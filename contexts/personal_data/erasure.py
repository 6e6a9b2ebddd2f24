"""Erasing what is kept of a person, in batches; whatever stops it, the next call goes on."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from contexts.audit import record_system_audit
from contexts.exceptions import ConflictError, NotFoundError
from contexts.models import Membership, QuotaReservation, QuotaUsage, Role, User
from contexts.personal_data.holders import ErasureOptions, Kept, Subject, erasing
from contexts.personal_data.receipt import FINISHED_ACTION, STARTED_ACTION, Receipt, make_receipt, told_of
from contexts.personal_data.registry import registered_holders, unanswered_keys
from contexts.quota_statements import Reservation
from contexts.quotas import give_back_quota, release_quotas
from contexts.resources import Resource
from contexts.scope import system_scope
from contexts.windows import EPOCH

ROUNDS = 5
"""How often what was written meanwhile is erased too, before the erasure gives up for now."""


def count_erasable(subject: Subject, options: ErasureOptions) -> dict[str, dict[str, int]]:
    """Return how much an erasure would delete or change, by kind and table. Changes nothing."""
    with system_scope("count a person's data"):
        counts = {holder.kind: dict(holder.count(subject, options)) for holder in registered_holders()}
    return {kind: found for kind, found in counts.items() if any(found.values())}


def list_kept(subject: Subject) -> list[Kept]:
    """Return what an erasure would leave, and why."""
    with system_scope("count a person's data"):
        found = (kept for holder in registered_holders() for kept in holder.kept(subject))
        return [kept for kept in found if kept.count]


def check_erasable(subject: Subject, *, force: bool = False) -> None:
    """Refuse an erasure that would leave something behind, or somebody without an owner.

    Raises:
        ConflictError: when a table that names people has no holder; or, unless it is forced, when the person
            is the only active owner of a tenant.
    """
    if keys := unanswered_keys():
        raise ConflictError(f"Nobody says what of a person these hold: {', '.join(keys)}.")
    with system_scope("look for tenants that would have no owner"):
        alone = list(_owned_alone(subject))
    if alone and not force:
        raise ConflictError(
            f"They are the only owner of {', '.join(alone)}: make somebody else an owner first, or force it."
        )


def erase_person(
    subject: Subject, options: ErasureOptions, *, operator: Mapping[str, Any], force: bool = False
) -> Receipt:
    """Deactivate the account, end what is under way, and erase what every holder has; return the receipt.

    The audit tells of each batch and of the whole. The person's tenants keep their totals. `operator` says
    who does it, as `find_operator` does.

    Raises:
        ConflictError: as `check_erasable` does; or when somebody goes on writing, which the next call erases.
        NotFoundError: when somebody else has just finished it.
    """
    check_erasable(subject, force=force)
    with system_scope("begin to erase a person's data", always_audited=False):
        User.objects.filter(id=subject.user_id).update(is_active=False, is_staff=False, is_superuser=False)
        record_system_audit(
            STARTED_ACTION, user_id=subject.user_id, with_datasets=options.with_datasets, **operator
        )
    for _ in range(ROUNDS):
        for holder in registered_holders():
            holder.stop(subject)
        for holder in reversed(registered_holders()):
            holder.erase(subject, options)
        receipt = _finish(subject, options, operator=operator)
        if receipt is not None:
            return receipt
    raise ConflictError("Something is still being written for this person; call it again in a moment.")


def _finish(subject: Subject, options: ErasureOptions, *, operator: Mapping[str, Any]) -> Receipt | None:
    """Delete the account, if nothing that must go is left; return the receipt."""
    with system_scope("end the erasure of a person's data", always_audited=False):
        # Whatever refers to the account waits for this, and is refused then.
        user = User.objects.select_for_update().filter(id=subject.user_id).first()
        if user is None:
            raise NotFoundError("The account is not there any more: somebody else has erased it.")
        holders = [holder for holder in registered_holders() if holder.must_be_empty]
        if any(any(holder.count(subject, options).values()) for holder in holders):
            return None
        with erasing(subject, "account") as erased:
            _leave_quotas(subject)
            counters = QuotaUsage.objects.filter(user_id=subject.user_id)
            erased.add_deleted(counters.delete()[1])
            erased.add_deleted(user.delete()[1])
        receipt = make_receipt(subject, operator=operator, now=datetime.now(UTC))
        record_system_audit(FINISHED_ACTION, user_id=subject.user_id, **operator, **told_of(receipt))
        return receipt


def _leave_quotas(subject: Subject) -> None:
    """Release what is reserved; what was used stays used by the tenant, and so does what it still stores."""
    held = QuotaReservation.objects.filter(user_id=subject.user_id).values_list("id", "tenant_id")
    release_quotas(Reservation(id=id, tenant_id=tenant, user_id=subject.user_id) for id, tenant in held)
    leases = QuotaUsage.objects.filter(user_id=subject.user_id, window_start=EPOCH, used__gt=0)
    for usage in leases.exclude(resource=Resource.STORAGE_BYTES):
        give_back_quota(
            user_id=usage.user_id,
            tenant_id=usage.tenant_id,
            resource=usage.resource,
            amount=usage.used,
            window_start=EPOCH,
        )


def _owned_alone(subject: Subject) -> Iterator[str]:
    for owned in Membership.objects.filter(user_id=subject.user_id, role=Role.OWNER).select_related("tenant"):
        others = Membership.objects.filter(tenant=owned.tenant, role=Role.OWNER, user__is_active=True)
        if not others.exclude(user_id=subject.user_id).exists():
            yield owned.tenant.slug
