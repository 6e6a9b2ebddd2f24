"""Making execution contexts from what comes in, and closing them whatever happens."""

from collections.abc import Mapping
from contextvars import Token
from datetime import UTC, datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Any
from uuid import UUID

from contexts.audit import record_system_audit
from contexts.context import UserExecutionContext, current_context
from contexts.exceptions import NetraError
from contexts.manager import UserContextManager, get_context_manager
from contexts.quotas import quotas_of
from contexts.records import close_record, open_record
from contexts.reports import QuotaResult
from contexts.resources import Resource
from contexts.scope import owner_scope
from contexts.selectors import Standing, standing_of

RUN_LIMITS = (Resource.RUN_SECONDS, Resource.MEMORY_BYTES)
"""What limits the context of a run."""
LONGEST_RUN_SECONDS = 366 * 86_400.0
"""What lies further ahead may be no date any more."""


class UserContextFactory:
    """Makes registered contexts; each method looks up afresh where the user stands.

    All methods are synchronous database services; call them through
    `contexts.database.call_in_thread` from coroutines. They raise what
    `contexts.selectors.standing_of` and `UserContextManager.create_context` raise.
    """

    def __init__(self, manager: UserContextManager | None = None) -> None:
        """Register contexts with `manager`, the process's own by default."""
        self.manager = manager or get_context_manager()

    def for_request(self, user_id: UUID, *, operation: str = "request") -> UserExecutionContext:
        """Make the context of one HTTP request of a signed-in user."""
        return self.for_standing(standing_of(user_id), operation=operation)

    def for_standing(self, standing: Standing, *, operation: str) -> UserExecutionContext:
        """Make a context, as of a request, of a user of whom it was just looked up where they stand."""
        return self._create(standing, operation=operation)

    def for_socket(self, user_id: UUID, *, connection_id: UUID) -> UserExecutionContext:
        """Make the context of a signed-in socket; it is recorded and lives as long as the socket."""
        return self._recorded(self.unrecorded_for_socket(standing_of(user_id), connection_id=connection_id))

    def unrecorded_for_socket(self, standing: Standing, *, connection_id: UUID) -> UserExecutionContext:
        """Make the context of a socket whose record is written together with those of others."""
        return self._create(standing, operation="socket", connection_id=connection_id)

    def for_run(
        self,
        *,
        user_id: UUID,
        tenant_id: UUID,
        thread_id: UUID,
        run_id: UUID,
        agent_context: Mapping[str, Any],
        limits: Mapping[str, QuotaResult] | None = None,
    ) -> UserExecutionContext:
        """Make the recorded context of a run, with the user's `run_seconds` and `memory_bytes` as limits.

        `limits` are these (`RUN_LIMITS`) where the caller knows them.

        Raises:
            PermissionDeniedError: when the user no longer belongs to the run's tenant.
        """
        standing = standing_of(user_id, tenant_id=tenant_id)
        if limits is None:
            with owner_scope(user_id=user_id, tenant_id=tenant_id):
                limits = quotas_of(standing, resources=RUN_LIMITS)
        seconds = min(float(limits[Resource.RUN_SECONDS].limit), LONGEST_RUN_SECONDS)
        return self._recorded(
            self._create(
                standing,
                operation="run",
                thread_id=thread_id,
                run_id=run_id,
                deadline=datetime.now(UTC) + timedelta(seconds=seconds),
                memory_bytes=int(limits[Resource.MEMORY_BYTES].limit),
                agent_context=agent_context,
            )
        )

    def for_command(
        self, user_id: UUID, *, operation: str, tenant_id: UUID | None = None
    ) -> UserExecutionContext:
        """Make the recorded context of a command or operator that acts for a user in a tenant."""
        return self._recorded(self._create(standing_of(user_id, tenant_id=tenant_id), operation=operation))

    def _create(self, standing: Standing, **fields: Any) -> UserExecutionContext:
        try:
            return self.manager.create_context(
                standing.user_id,
                standing.tier,
                tenant_id=standing.tenant_id,
                role=standing.role,
                preferences=standing.preferences,
                **fields,
            )
        except NetraError as refusal:
            with owner_scope(user_id=standing.user_id, tenant_id=standing.tenant_id):
                record_system_audit(
                    "context_refused",
                    tenant_id=standing.tenant_id,
                    user_id=standing.user_id,
                    run_id=fields.get("run_id"),
                    operation=fields["operation"],
                    code=refusal.code,
                )
            raise

    def _recorded(self, context: UserExecutionContext) -> UserExecutionContext:
        try:
            open_record(context)
        except BaseException:
            self.manager.cleanup_context_sync(context.context_id)
            raise
        self.manager.on_close(context, partial(close_record, context))
        return context


class managed_user_context:  # noqa: N801 - used as a function, in `with` and `async with`
    """Work inside a registered context: it is the current one within, and closed at the end.

    `async with managed_user_context(context) as context: …`, or the same with plain `with`.
    """

    def __init__(self, context: UserExecutionContext, *, manager: UserContextManager | None = None) -> None:
        """Take a context that `manager`, the process's own by default, has registered."""
        self._context = context
        self._manager = manager or get_context_manager()
        self._token: Token[UserExecutionContext | None] | None = None

    def __enter__(self) -> UserExecutionContext:
        self._token = current_context.set(self._context)
        return self._context

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reset()
        self._manager.cleanup_context_sync(self._context.context_id)

    async def __aenter__(self) -> UserExecutionContext:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reset()
        await self._manager.cleanup_context(self._context.context_id)

    def _reset(self) -> None:
        if self._token is not None:
            current_context.reset(self._token)
            self._token = None
