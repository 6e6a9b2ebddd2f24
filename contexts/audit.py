"""Writing the audit: what was done or refused, by whom; ids and figures, never content."""

from typing import Any
from uuid import UUID

from psycopg import OperationalError
from psycopg.types.json import Jsonb
from psycopg_pool import PoolTimeout

from contexts.audit_details import audit_details
from contexts.context import UserExecutionContext
from contexts.database import async_pool
from contexts.exceptions import UnavailableError
from contexts.models import AuditEntry

# One statement, and so one round trip and a transaction of its own, whose scope it says itself.
_APPEND = """
WITH said AS MATERIALIZED (SELECT set_config('netra.scope', 'system', true))
INSERT INTO contexts_auditentry (tenant_id, user_id, action, context_id, run_id, request_id, details)
SELECT %s::uuid, %s::uuid, %s::text, %s::uuid, %s::uuid, %s::uuid, %s::jsonb FROM said
"""


def record_audit(context: UserExecutionContext, action: str, **details: Any) -> None:
    """Append an entry for `context`'s user and run, in the caller's transaction.

    `details` are kept as `contexts.audit_details` says: bounded, and without secrets.
    """
    AuditEntry.objects.create(
        tenant_id=context.tenant_id,
        user_id=context.user_id,
        action=action,
        context_id=context.context_id,
        run_id=context.run_id,
        request_id=context.request_id,
        details=audit_details(details),
    )


def record_system_audit(
    action: str,
    *,
    tenant_id: UUID | None = None,
    user_id: UUID | None = None,
    context_id: UUID | None = None,
    run_id: UUID | None = None,
    **details: Any,
) -> None:
    """Append an entry that no context makes; without a tenant it is the installation's."""
    AuditEntry.objects.create(
        tenant_id=tenant_id,
        user_id=user_id,
        action=action,
        context_id=context_id,
        run_id=run_id,
        details=audit_details(details),
    )


async def append_audit(context: UserExecutionContext, action: str, **details: Any) -> None:
    """Append an entry for `context`'s user and run, committed by itself whatever becomes of the work.

    Raises:
        UnavailableError: when no connection is free in time, or the database does not answer.
    """
    row = (
        context.tenant_id,
        context.user_id,
        action,
        context.context_id,
        context.run_id,
        context.request_id,
        Jsonb(audit_details(details)),
    )
    try:
        pool = await async_pool()
        async with pool.connection() as connection:
            await connection.execute(_APPEND, row)
    except (OperationalError, PoolTimeout) as error:
        raise UnavailableError("The audit cannot be written now; try again in a moment.") from error
