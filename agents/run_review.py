"""Runs under way when operators change something: whoever may not ask any more is answered no more."""

from agents.engine_factory import ExecutionEngineFactory
from contexts.changes import Change
from contexts.database import call_in_thread
from contexts.exceptions import PermissionDeniedError
from contexts.models import Role
from contexts.rights import Member, rights_of

ABOUT_LIMITS = frozenset(("limits", "tier"))


class RunReview:
    """Looks after the runs of one worker."""

    def __init__(self, engines: ExecutionEngineFactory) -> None:
        """Look after the runs that `engines` carry out."""
        self._engines = engines

    async def apply(self, changes: frozenset[Change]) -> None:
        """End the runs whose user was deactivated, left the tenant or may only look; a receiver of changes.

        Raises:
            UnavailableError: when the database does not answer.
        """
        contexts = self._engines.active_contexts
        if not contexts or all(change.kind in ABOUT_LIMITS for change in changes):
            return
        owners = {Member(tenant_id=each.tenant_id, user_id=each.user_id) for each in contexts}
        rights = await call_in_thread(rights_of, owners)
        for context in contexts:
            mine = rights.get(Member(tenant_id=context.tenant_id, user_id=context.user_id))
            if mine is None or mine.role == Role.VIEWER:
                error = PermissionDeniedError("You may not ask in this organisation any more.")
                self._engines.interrupt(context, error)
