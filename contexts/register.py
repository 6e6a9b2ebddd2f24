"""The book of a process's open contexts: their limits, children, time to live and way out."""

import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from contexts.context import UserExecutionContext
from contexts.exceptions import (
    ContextClosedError,
    InvalidContextError,
    QuarantinedError,
    QuotaExceededError,
)
from contexts.reports import SecurityReport

CloseCallback = Callable[[], Awaitable[None] | None]
QuarantineCallback = Callable[[], None]


@dataclass(slots=True, eq=False)
class Registration:
    """One open context and what is to happen at its end."""

    context: UserExecutionContext
    expires_at: datetime
    close_callbacks: list[CloseCallback] = field(default_factory=list)
    quarantine_callbacks: list[QuarantineCallback] = field(default_factory=list)
    children: dict[UUID, None] = field(default_factory=dict)
    is_closing: bool = False


class ContextRegister:
    """Registers contexts and counts them; one lock guards it, and nothing foreign runs under it."""

    def __init__(self, *, max_contexts_per_user: int, max_contexts: int, max_state_bytes: int) -> None:
        """Hold at most so many root contexts of a user, and contexts of any kind at all.

        A state of more than `max_state_bytes` is only reported.
        """
        self.max_contexts = max_contexts
        # Re-entrant, since a collection of garbage may close a context in the midst of it.
        self._lock = threading.RLock()
        self._open: dict[UUID, Registration] = {}
        self._roots_by_user: Counter[UUID] = Counter()
        self._counts: Counter[str] = Counter()
        self._max_contexts_per_user = max_contexts_per_user
        self._max_state_bytes = max_state_bytes

    def __len__(self) -> int:
        return len(self._open)

    def count(self, event: str) -> None:
        """Add one to the count of `event`."""
        with self._lock:
            self._counts[event] += 1

    def counts(self) -> tuple[Counter[str], Counter[UUID]]:
        """Return the counts of events, and of open root contexts by user."""
        with self._lock:
            return self._counts.copy(), self._roots_by_user.copy()

    def add_root(self, context: UserExecutionContext, *, expires_at: datetime) -> None:
        """Register a root context.

        Raises:
            InvalidContextError: when it is no root, or its id is in use.
            QuotaExceededError: when the user or the process has too many open.
        """
        if context.depth:
            raise InvalidContextError("Only an open parent makes a child.")
        with self._lock:
            if self._roots_by_user.get(context.user_id, 0) >= self._max_contexts_per_user:
                raise self._refuse(self._max_contexts_per_user)
            self._add(context, expires_at, event="created")
            self._roots_by_user[context.user_id] += 1

    def add_child(self, parent: UserExecutionContext, child: UserExecutionContext) -> None:
        """Register a child, which ends with its parent at the latest.

        Raises:
            ContextClosedError, QuarantinedError: when the parent makes no children any more.
            QuotaExceededError: when the process has too many contexts open.
        """
        with self._lock:
            registration = self._find(parent)
            if parent.state.is_quarantined:
                raise QuarantinedError("The execution context was stopped after an isolation breach.")
            self._add(child, registration.expires_at, event="children")
            registration.children[child.context_id] = None

    def get(self, context_id: UUID) -> UserExecutionContext | None:
        """Return the context with this id, unless it is closed or closing."""
        registration = self._open.get(context_id)
        return None if registration is None or registration.is_closing else registration.context

    def add_close_callback(self, context: UserExecutionContext, callback: CloseCallback) -> None:
        """Keep `callback` for the end of `context`.

        Raises:
            ContextClosedError: when it is not open.
        """
        with self._lock:
            self._find(context).close_callbacks.append(callback)

    def add_quarantine_callback(self, context: UserExecutionContext, callback: QuarantineCallback) -> bool:
        """Keep `callback` for a quarantine of `context`; return false when it is quarantined already.

        Raises:
            ContextClosedError: when it is neither open nor quarantined.
        """
        with self._lock:
            if context.state.is_quarantined:
                return False
            self._find(context).quarantine_callbacks.append(callback)
            return True

    def quarantine(
        self, context_id: UUID, reason: str
    ) -> list[tuple[UserExecutionContext, list[QuarantineCallback]]]:
        """Stop a context with its whole line and all that descends from it: they share one piece of work.

        Returns those that were not quarantined before, each with the callbacks to call.
        """
        stopped = []
        with self._lock:
            for registration in self._family(context_id):
                if registration.context.state.quarantine(reason):
                    self._counts["quarantined"] += 1
                    callbacks, registration.quarantine_callbacks = registration.quarantine_callbacks, []
                    stopped.append((registration.context, callbacks))
        return stopped

    def renew(self, context: UserExecutionContext, *, expires_at: datetime) -> None:
        """Move the end of the time to live of `context` and its whole family.

        Raises:
            ContextClosedError: when it is not open.
        """
        with self._lock:
            self._find(context)
            for registration in self._family(context.context_id):
                registration.expires_at = expires_at

    def begin_close(self, context_id: UUID) -> list[Registration]:
        """Return a context and its descendants in the order to close them; nothing if it is closed.

        From here on they take no callback and no child. Whoever gets them sees to `remove`.
        """
        with self._lock:
            registration = self._open.get(context_id)
            return [] if registration is None or registration.is_closing else self._begin(registration)

    def remove(self, registration: Registration) -> None:
        """Forget a context whose end is complete."""
        context = registration.context
        with self._lock:
            del self._open[context.context_id]
            self._counts["closed"] += 1
            if not context.depth:
                self._roots_by_user[context.user_id] -= 1
                if not self._roots_by_user[context.user_id]:
                    del self._roots_by_user[context.user_id]
            elif parent := self._open.get(context.parent_id):  # type: ignore[arg-type]
                parent.children.pop(context.context_id, None)

    def snapshot(self) -> list[Registration]:
        """Return what is open and not closing, in order of creation."""
        with self._lock:
            return [registration for registration in self._open.values() if not registration.is_closing]

    def contexts(self) -> list[UserExecutionContext]:
        """Return the contexts that are open and not closing, in order of creation."""
        return [registration.context for registration in self.snapshot()]

    def inspect(self, *, now: datetime) -> SecurityReport:
        """Report which of the open contexts are out of bounds at `now`; looks at no value."""
        registrations = self.snapshot()
        contexts = [registration.context for registration in registrations]
        ids = {context.context_id for context in contexts}
        return SecurityReport(
            checked=len(contexts),
            expired=tuple(
                registration.context.context_id
                for registration in registrations
                if not registration.context.depth and registration.expires_at <= now
            ),
            orphaned=tuple(
                context.context_id for context in contexts if context.depth and context.parent_id not in ids
            ),
            quarantined=tuple(context.context_id for context in contexts if context.state.is_quarantined),
            over_limit=tuple(
                context.context_id
                for context in contexts
                if context.state.memory_bytes > self._max_state_bytes
            ),
        )

    def _add(self, context: UserExecutionContext, expires_at: datetime, *, event: str) -> None:
        if len(self._open) >= self.max_contexts:
            raise self._refuse(self.max_contexts)
        if context.context_id in self._open:
            raise InvalidContextError("An open context has this context_id already.")
        self._open[context.context_id] = Registration(context, expires_at)
        self._counts[event] += 1
        self._counts["peak"] = max(self._counts["peak"], len(self._open))

    def _refuse(self, limit: int) -> QuotaExceededError:
        self._counts["rejected_by_limit"] += 1
        return QuotaExceededError(
            "Too many execution contexts are open.", resource="contexts", limit=limit, resets_at=None
        )

    def _find(self, context: UserExecutionContext) -> Registration:
        registration = self._open.get(context.context_id)
        if registration is None or registration.context is not context or registration.is_closing:
            raise ContextClosedError("The execution context is not open.")
        return registration

    def _family(self, context_id: UUID) -> list[Registration]:
        registration = self._open.get(context_id)
        if registration is None:
            return []
        line = registration.context.ancestors
        pending = [line[0].context_id if line else context_id, context_id]
        family: dict[UUID, Registration] = {}
        while pending:
            identifier = pending.pop(0)
            if identifier not in family and (member := self._open.get(identifier)) is not None:
                family[identifier] = member
                pending += member.children
        return list(family.values())

    def _begin(self, registration: Registration) -> list[Registration]:
        registration.is_closing = True
        ordered = []
        for child_id in reversed(registration.children):
            child = self._open[child_id]
            if not child.is_closing:
                ordered += self._begin(child)
        return [*ordered, registration]
