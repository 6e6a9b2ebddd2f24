"""The manager of a process's live execution contexts: their making, isolation and orderly end."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from typing import Any, Literal, get_args
from uuid import UUID

from django.conf import settings

from contexts.closing import close_all, close_all_sync
from contexts.contamination import ContaminationDetector
from contexts.context import UserExecutionContext
from contexts.context_metrics import ManagerHealth, ManagerMetrics, judge_health, make_metrics
from contexts.creation import ContextMaker
from contexts.exceptions import ContextClosedError, ContextIsolationError, QuarantinedError
from contexts.incidents import record_incident
from contexts.isolation import Breach, OutgoingGuard, OwnershipRegistry, declare_shared, size_of
from contexts.quarantine import Quarantine
from contexts.quota_check import enforce_quotas
from contexts.quota_statements import Amount
from contexts.register import CloseCallback, ContextRegister, QuarantineCallback, Registration
from contexts.reports import ContaminationReport, QuotaResult, SecurityReport
from contexts.validation import parse_identifier

IsolationLevel = Literal["strict", "permissive"]
MAX_CONTEXTS_PER_USER = 100
MAX_CONTEXTS = 10_000
MAX_STATE_BYTES = 64 * 2**20
TIME_TO_LIVE = timedelta(seconds=3_600)


class UserContextManager:
    """Registers contexts, watches over their isolation, and closes them with everything they opened.

    Safe to use from threads and tasks at once. Root contexts count against the limit of their user, all
    contexts against the limit of the process; children live and end with their parent.
    """

    def __init__(
        self,
        isolation_level: IsolationLevel = "strict",
        cross_contamination_detection: bool = True,
        *,
        max_contexts_per_user: int = MAX_CONTEXTS_PER_USER,
        max_contexts: int = MAX_CONTEXTS,
        max_state_bytes: int = MAX_STATE_BYTES,
        time_to_live: timedelta = TIME_TO_LIVE,
    ) -> None:
        """Start with no context.

        `strict` raises and blocks at a breach; `permissive` records it and copies the value instead.
        Without detection neither writes nor what goes out are checked.

        Raises:
            ValueError: for any other isolation level.
        """
        if isolation_level not in get_args(IsolationLevel):
            raise ValueError(f"The isolation level is one of {', '.join(get_args(IsolationLevel))}.")
        self.is_strict = isolation_level == "strict"
        self.detects = cross_contamination_detection
        self.ownership = OwnershipRegistry(strict=self.is_strict, report=self.report_breach)
        self.guard = OutgoingGuard(report=self.report_breach)
        self._register = ContextRegister(
            max_contexts_per_user=max_contexts_per_user,
            max_contexts=max_contexts,
            max_state_bytes=max_state_bytes,
        )
        self._quarantine = Quarantine(self._register)
        self._maker = ContextMaker(
            self.ownership if cross_contamination_detection else None,
            report=self.report_breach,
            count_refusal=partial(self._register.count, "refused_by_validation"),
        )
        self._detector = ContaminationDetector()
        self._time_to_live = time_to_live

    def __len__(self) -> int:
        return len(self._register)

    def __bool__(self) -> bool:
        return True  # also without a context

    def create_context(
        self,
        user_id: UUID | str,
        tier_level: str = "free",
        *,
        tenant_id: UUID | str | None = None,
        role: str = "member",
        operation: str = "work",
        memory_bytes: int | None = None,
        **fields: Any,
    ) -> UserExecutionContext:
        """Make a root context and register it; `fields` are more of `UserExecutionContext`'s.

        Without `tenant_id` it is the user's own space, in which no organisation's data are seen. Its state,
        and each child's, may take `memory_bytes`.

        Raises:
            TypeError, InvalidContextError, ContextIsolationError: as `UserExecutionContext` does.
            QuotaExceededError: when the user or the process has too many contexts open.
        """
        context = self._maker.make_root(
            fields,
            user_id=user_id,
            tenant_id=user_id if tenant_id is None else tenant_id,
            role=role,
            tier=tier_level,
            operation=operation,
        )
        self._register.add_root(context, expires_at=context.created_at + self._time_to_live)
        self._watch(context, memory_bytes)
        return context

    def create_child(
        self,
        parent: UserExecutionContext,
        operation: str,
        *,
        audit_metadata: Mapping[str, Any] | None = None,
        **agent_context: Any,
    ) -> UserExecutionContext:
        """Make and register a child of `parent` for one part of its work.

        Raises:
            ContextClosedError, QuarantinedError: when the parent is not open, or was stopped.
            TypeError, InvalidContextError, ContextIsolationError: as `UserExecutionContext.child` does.
            QuotaExceededError: when the process has too many contexts open.
        """
        child = self._maker.make_child(
            parent, operation, agent_context=agent_context, audit_metadata=audit_metadata or {}
        )
        self._register.add_child(parent, child)
        self._watch(child, parent.state.memory_limit)
        return child

    def get_context(
        self, context_id: UUID | str, *, user_id: UUID | str | None = None
    ) -> UserExecutionContext:
        """Return the open context with this id; with `user_id` only if it is that user's.

        Raises:
            InvalidContextError: when an id is none.
            ContextClosedError: when no such context is open.
            ContextIsolationError: when it is another user's.
        """
        context = self._register.get(parse_identifier("context_id", context_id))
        if context is None:
            raise ContextClosedError("No such execution context is open.")
        if user_id is not None and context.user_id != parse_identifier("user_id", user_id):
            raise ContextIsolationError("The execution context belongs to another user.")
        return context

    def is_open(self, context: UserExecutionContext) -> bool:
        """Tell whether `context` is registered, and neither closed nor being closed."""
        return self._register.get(context.context_id) is context

    def renew(self, context: UserExecutionContext, *, now: datetime | None = None) -> None:
        """Have the time to live of `context`, with its parents and children, begin anew.

        Raises:
            ContextClosedError: when it is not open.
        """
        self._register.renew(context, expires_at=(now or datetime.now(UTC)) + self._time_to_live)

    def on_close(self, context: UserExecutionContext, callback: CloseCallback) -> None:
        """Have `callback` called when `context` closes; the last added is called first.

        Raises:
            ContextClosedError: when the context is not open.
        """
        self._register.add_close_callback(context, callback)

    async def cleanup_context(self, context_id: UUID) -> bool:
        """Close a context, its children first; return whether this call closed it.

        A callback that fails is counted and logged with the context's ids, and stops none of the others.
        A context that something else is closing already is left to it.
        """
        closing = self._register.begin_close(context_id)
        await close_all(closing, register=self._register, finish=self._finish)
        return bool(closing)

    def cleanup_context_sync(self, context_id: UUID) -> bool:
        """Close a context from synchronous code; its callbacks must be synchronous."""
        closing = self._register.begin_close(context_id)
        close_all_sync(closing, register=self._register, finish=self._finish)
        return bool(closing)

    async def cleanup_expired(self, *, now: datetime) -> int:
        """Close every root context past its time to live; return how many."""
        closed = 0
        for context_id in self._register.inspect(now=now).expired:
            if await self.cleanup_context(context_id):
                self._register.count("expired")
                closed += 1
        return closed

    async def cleanup_all(self) -> int:
        """Close every root context; return how many were open."""
        roots = [context for context in self._register.contexts() if not context.depth]
        return sum([await self.cleanup_context(context.context_id) for context in roots])

    def quarantine(self, context_id: UUID, reason: str) -> bool:
        """Stop a context with its parents and children; return whether any was not stopped before.

        They write nothing more, make no children and send nothing, until they are closed.
        """
        return self._quarantine.stop(context_id, reason)

    def is_quarantined(self, context: UserExecutionContext) -> bool:
        """Tell whether `context` was stopped after a breach."""
        return context.state.is_quarantined

    def on_quarantine(self, context: UserExecutionContext, callback: QuarantineCallback) -> None:
        """Have `callback` called once when `context` is quarantined, at once if it is already.

        It is called in whatever thread noticed the breach.

        Raises:
            ContextClosedError: when the context is neither open nor quarantined.
        """
        self._quarantine.on_stop(context, callback)

    def report_breach(self, breach: Breach) -> None:
        """Count a breach, stop the contexts in it and record the incident.

        What a permissive manager let pass as a copy stops nobody.
        """
        self._register.count("breaches")
        if breach.blocked or self.is_strict:
            for context in breach.contexts:
                self.quarantine(context.context_id, f"{breach.kind.value} found {breach.detector.value}")
        record_incident(breach)

    def check_outgoing(self, context: UserExecutionContext, payload: Any) -> None:
        """Refuse what must not leave towards the user of `context`: a string or JSON-like data.

        Raises:
            QuarantinedError: when the context was stopped.
            ContextIsolationError: when the payload carries an id or canary of another user or tenant.
        """
        if context.state.is_quarantined:
            raise QuarantinedError("The execution context was stopped after an isolation breach.")
        if self.detects:
            self.guard.check(context, payload)

    def detect_cross_contamination(self) -> ContaminationReport:
        """Walk what every open context reaches; report, as breaches, what contexts of two users share."""
        report, breaches = self._detector.detect(self._register.contexts(), blocked=self.is_strict)
        for breach in breaches:
            self.report_breach(breach)
        return report

    def validate_isolation(self, *, now: datetime | None = None) -> SecurityReport:
        """Report contexts out of bounds and, where detection is on, cross-contamination."""
        contamination = self.detect_cross_contamination() if self.detects else None
        return replace(self._register.inspect(now=now or datetime.now(UTC)), contamination=contamination)

    def enforce_quotas(
        self, context_id: UUID, resources: Mapping[str, Amount], *, now: datetime | None = None
    ) -> QuotaResult:
        """Set `resources` aside until the context closes, or say which of them is used up; synchronous.

        Raises:
            ContextClosedError: when no such context is open.
            InvalidRequestError, QuarantinedError, UnavailableError: as `contexts.quota_check` does.
        """
        return enforce_quotas(self.get_context(context_id), resources, now=now, on_close=self.on_close)

    def metrics(self) -> ManagerMetrics:
        """Return what was counted since the manager was made."""
        counts, by_user = self._register.counts()
        return make_metrics(counts, by_user, active=len(self))

    def health(self, *, now: datetime | None = None) -> ManagerHealth:
        """Return whether all is within bounds; cheap, looks at no value."""
        report = self._register.inspect(now=now or datetime.now(UTC))
        return judge_health(report, active=len(self), max_contexts=self._register.max_contexts)

    def _watch(self, context: UserExecutionContext, memory_bytes: int | None) -> None:
        if memory_bytes is not None:
            context.state.limit_memory(memory_bytes, measure=size_of)
        if self.detects:
            context.state.bind(self.ownership, context)
            self.guard.learn(context)
            if context.state.is_closed:  # by another thread, in between
                self.guard.forget(context)

    def _finish(self, registration: Registration) -> None:
        self._register.remove(registration)
        registration.context.state.close()
        if self.detects:
            self.guard.forget(registration.context)


# Whatever leads to it leads to every context, which is no one's doing.
declare_shared(UserContextManager)


@cache
def get_context_manager() -> UserContextManager:
    """Return this process's manager."""
    return UserContextManager(settings.ISOLATION_LEVEL, max_contexts=settings.MAX_CONTEXTS)
