"""Storage for uploads: set aside while one arrives, counted exactly once it is kept."""

import logging
from dataclasses import dataclass
from uuid import UUID

from agents.threads import require_member
from contexts.audit import record_audit
from contexts.context import UserExecutionContext
from contexts.exceptions import LimitError, UnavailableError
from contexts.factory import UserContextFactory, managed_user_context
from contexts.quota_statements import Reservation
from contexts.quotas import extend_quota, release_quota, reserve_quota, settle_quota, use_quota
from contexts.resources import Resource
from contexts.scope import scope

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class AdmittedUpload:
    """An upload that there is room for."""

    reservation: Reservation
    """Of the storage; the process that takes the upload keeps it alive."""
    size: int
    """Bytes that are set aside: what the upload says it has."""


def admit_upload(user_id: UUID, *, size: int) -> AdmittedUpload:
    """Set `size` bytes of a user's storage aside for an upload that is about to arrive.

    Raises:
        QuotaExceededError: when there is less storage left; this is audited.
        PermissionDeniedError: when the user may only look, or belongs to no active tenant.
        NotAuthenticatedError, UnavailableError: as `UserContextFactory.for_request` does.
    """
    context = UserContextFactory().for_request(user_id, operation="upload")
    with managed_user_context(context):
        require_member(context)
        try:
            reservation = reserve_quota(context, {Resource.STORAGE_BYTES: size}, purpose="upload")
        except LimitError as refusal:
            record_refusal(context, refusal, size)
            raise
    return AdmittedUpload(reservation=reservation, size=size)


def release_upload(upload: AdmittedUpload) -> None:
    """Give back what is set aside for an upload, if it was not settled."""
    try:
        release_quota(upload.reservation)
    except UnavailableError:
        logger.exception("The storage of upload %s was not released; it expires", upload.reservation.id)


def count_storage(context: UserExecutionContext, size: int, *, admitted: AdmittedUpload | None) -> None:
    """Count `size` bytes as stored, from what is set aside as far as it goes; in the caller's transaction.

    Raises:
        QuotaExceededError: when more is needed than was set aside, and it is not left.
        InvalidRequestError, UnavailableError: as `reserve_quota` does.
    """
    actual = {str(Resource.STORAGE_BYTES): size}
    if admitted is not None and _is_of(admitted.reservation, context):
        lacking = size - admitted.size
        has_room = lacking <= 0 or extend_quota(admitted.reservation, {Resource.STORAGE_BYTES: lacking})
        if has_room and settle_quota(admitted.reservation, actual):
            return
        logger.warning("The storage set aside for upload %s was lost", admitted.reservation.id)
    use_quota(context, actual)


def record_refusal(context: UserExecutionContext, refusal: LimitError, size: int) -> None:
    """Have the audit say that storage was refused, in a transaction of its own."""
    with scope(context, outermost=True):
        record_audit(context, "quota_refused", resource=refusal.resource, amount=size)


def _is_of(reservation: Reservation, context: UserExecutionContext) -> bool:
    return (reservation.tenant_id, reservation.user_id) == (context.tenant_id, context.user_id)
