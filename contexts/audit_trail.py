"""Reads: the audit, a tenant's for those who run it, a run's for its owner."""

from uuid import UUID

from django.db.models import Q, QuerySet

from contexts.context import UserExecutionContext
from contexts.exceptions import PermissionDeniedError
from contexts.models import AuditEntry, Role


def audit_of_tenant(context: UserExecutionContext) -> QuerySet[AuditEntry]:
    """Return the entries of the context's tenant, newest first.

    Raises:
        PermissionDeniedError: when the user is neither its owner nor an admin.
    """
    if context.role not in {Role.OWNER, Role.ADMIN}:
        raise PermissionDeniedError("Only the organisation's owner and admins may read its audit.")
    return AuditEntry.objects.filter(tenant_id=context.tenant_id)


def audit_of_run(context: UserExecutionContext, run_id: UUID) -> QuerySet[AuditEntry]:
    """Return the user's own entries of a run, newest first."""
    mine = AuditEntry.objects.filter(tenant_id=context.tenant_id, user_id=context.user_id)
    # Requests that start or cancel a run are not within it; they name it in their details.
    return mine.filter(Q(run_id=run_id) | Q(details__run=str(run_id)))
