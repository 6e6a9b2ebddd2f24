"""Writing the audit: what was done or refused, by whom; ids and figures, never content."""

from typing import Any

from contexts.context import UserExecutionContext
from contexts.models import AuditEntry


def record_audit(context: UserExecutionContext, action: str, **details: Any) -> None:
    """Append an entry for `context`'s user and run; `details` must be JSON-like."""
    AuditEntry.objects.create(
        tenant_id=context.tenant_id,
        user_id=context.user_id,
        action=action,
        run_id=context.run_id,
        request_id=context.request_id,
        details=details,
    )
