"""Letting waiting runs in as soon as operators have raised a limit."""

from agents.line import admit_all
from contexts.changes import Change
from contexts.database import call_in_thread


async def admit_after_changes(changes: frozenset[Change]) -> None:
    """Give free places to whoever waits in the tenants that `changes` may be about; a receiver of changes."""
    tenants = {change.tenant_id for change in changes}
    for tenant_id in {None} if None in tenants else tenants:
        await call_in_thread(admit_all, tenant_id=tenant_id)
