"""Reads: the audit, a tenant's for those who run it, a run's for its owner."""

from uuid import UUID

from django.db.models import Q, QuerySet

from contexts.audit_chain import chain_ids
from contexts.audit_seals import INSTALLATION
from contexts.context import UserExecutionContext
from contexts.exceptions import NotFoundError, PermissionDeniedError
from contexts.models import AuditEntry, Role, Tenant


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


def chain_of(tenant: str) -> UUID:
    """Return the audit chain of the tenant with this slug, or the chain with this id. Needs a system scope.

    Chains outlive their tenants; the nil UUID names the installation's own.

    Raises:
        NotFoundError: when there is none.
    """
    found = Tenant.objects.filter(slug=tenant).values_list("id", flat=True).first()
    known = (chain_id for chain_id in chain_ids() if str(chain_id) == tenant.lower())
    if (chain := found or next(known, None)) is None:
        raise NotFoundError(f"There is no tenant or audit chain {tenant!r}.")
    return chain


def chain_name(chain_id: UUID) -> str:
    """Return the slug of a chain's tenant, or what else it belongs to. Needs a system scope."""
    if chain_id == INSTALLATION:
        return "the installation"
    return Tenant.objects.filter(id=chain_id).values_list("slug", flat=True).first() or "a deleted tenant"
