"""The register of a process's live execution contexts, and their orderly end."""

import inspect
import logging
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from typing import Any
from uuid import UUID

from contexts.context import UserExecutionContext
from contexts.exceptions import ContextClosedError, ContextIsolationError, QuotaExceededError
from contexts.reports import ContaminationReport, SecurityReport

logger = logging.getLogger(__name__)

CloseCallback = Callable[[], Awaitable[None] | None]

MAX_CONTEXTS_PER_USER = 100
MAX_CONTEXTS = 10_000
TIME_TO_LIVE = timedelta(seconds=3_600)


@dataclass(slots=True)
class _Entry:
    context: UserExecutionContext
    callbacks: list[CloseCallback] = field(default_factory=list)
    children: list[UUID] = field(default_factory=list)


class UserContextManager:
    """Registers contexts, counts them per user, and closes them with everything they opened.

    Safe to use from threads and tasks at once. Root contexts count against the limits; children
    live and end with their parent.
    """

    def __init__(
        self,
        *,
        max_contexts_per_user: int = MAX_CONTEXTS_PER_USER,
        max_contexts: int = MAX_CONTEXTS,
        time_to_live: timedelta = TIME_TO_LIVE,
    ) -> None:
        """Start with no context; limits count root contexts, `time_to_live` is from creation."""
        self._lock = threading.Lock()
        self._entries: dict[UUID, _Entry] = {}
        self._roots_by_user: Counter[UUID] = Counter()
        self._max_contexts_per_user = max_contexts_per_user
        self._max_contexts = max_contexts
        self._time_to_live = time_to_live

    def __len__(self) -> int:
        return len(self._entries)

    def create_context(self, **fields: Any) -> UserExecutionContext:
        """Make a root context of `UserExecutionContext`'s fields and register it.

        Raises:
            TypeError, InvalidContextError: as `UserExecutionContext` does.
            QuotaExceededError: when the user or the process has too many contexts open.
        """
        context = UserExecutionContext(**fields)
        with self._lock:
            mine = self._roots_by_user[context.user_id]
            if mine >= self._max_contexts_per_user or len(self._entries) >= self._max_contexts:
                self._drop_count(context.user_id, by=0)
                limit = (
                    self._max_contexts_per_user if mine >= self._max_contexts_per_user else self._max_contexts
                )
                raise QuotaExceededError(
                    "Too many execution contexts are open.", resource="contexts", limit=limit, resets_at=None
                )
            self._entries[context.context_id] = _Entry(context)
            self._roots_by_user[context.user_id] += 1
        return context

    def create_child(
        self, parent: UserExecutionContext, operation: str, **agent_context: Any
    ) -> UserExecutionContext:
        """Make and register a child of `parent` for one part of its work.

        Raises:
            ContextClosedError: when the parent is not open.
            InvalidContextError: when the line of descent would be too deep.
        """
        context = parent.child(operation, **agent_context)
        with self._lock:
            self._open_entry(parent).children.append(context.context_id)
            self._entries[context.context_id] = _Entry(context)
        return context

    def get_context(self, context_id: UUID, *, user_id: UUID) -> UserExecutionContext:
        """Return the open context with this id.

        Raises:
            ContextClosedError: when no such context is open.
            ContextIsolationError: when it is another user's.
        """
        entry = self._entries.get(context_id)
        if entry is None:
            raise ContextClosedError("No such execution context is open.")
        if entry.context.user_id != user_id:
            raise ContextIsolationError("The execution context belongs to another user.")
        return entry.context

    def is_open(self, context: UserExecutionContext) -> bool:
        """Tell whether `context` is registered and not closed."""
        return context.context_id in self._entries

    def on_close(self, context: UserExecutionContext, callback: CloseCallback) -> None:
        """Have `callback` called when `context` closes; the last added is called first.

        Raises:
            ContextClosedError: when the context is not open.
        """
        with self._lock:
            self._open_entry(context).callbacks.append(callback)

    async def cleanup_context(self, context_id: UUID) -> bool:
        """Close a context, its children first; return whether it was open.

        A callback that fails is logged with the context's ids and stops none of the others.
        """
        for callback, context in self._detach(context_id):
            try:
                outcome = callback()
                if inspect.isawaitable(outcome):
                    await outcome
            except Exception:  # noqa: BLE001 - recorded, and stops none of the others
                _log_failed_callback(context)
        return self._finish(context_id)

    def cleanup_context_sync(self, context_id: UUID) -> bool:
        """Close a context from synchronous code; its callbacks must be synchronous."""
        for callback, context in self._detach(context_id):
            try:
                outcome = callback()
                if inspect.iscoroutine(outcome):
                    outcome.close()
                    raise TypeError("An asynchronous callback cannot run in a synchronous context.")
            except Exception:  # noqa: BLE001 - recorded, and stops none of the others
                _log_failed_callback(context)
        return self._finish(context_id)

    async def cleanup_expired(self, *, now: datetime) -> int:
        """Close every root context older than the time to live; return how many."""
        expired = self.validate_isolation(now=now).expired
        return sum([await self.cleanup_context(context_id) for context_id in expired])

    async def cleanup_all(self) -> int:
        """Close every root context; return how many were open."""
        roots = [
            entry.context.context_id for entry in list(self._entries.values()) if entry.context.depth == 0
        ]
        return sum([await self.cleanup_context(context_id) for context_id in roots])

    def validate_isolation(self, *, now: datetime | None = None) -> SecurityReport:
        """Report contexts that outlived their time and children without a parent."""
        moment = now or datetime.now(UTC)
        contexts = [entry.context for entry in list(self._entries.values())]
        return SecurityReport(
            checked=len(contexts),
            expired=tuple(
                context.context_id
                for context in contexts
                if context.depth == 0 and context.created_at + self._time_to_live < moment
            ),
            orphaned=tuple(
                context.context_id
                for context in contexts
                if context.parent_id is not None and context.parent_id not in self._entries
            ),
        )

    def detect_cross_contamination(self) -> ContaminationReport:
        """Report mutable objects kept directly in the state of contexts of two users."""
        contexts = [entry.context for entry in list(self._entries.values())]
        holders: dict[int, UserExecutionContext] = {}
        shared: list[tuple[UUID, UUID, str]] = []
        for context in contexts:
            for name in list(context.state):
                value = context.state.get(name)
                if not isinstance(value, (dict, list, set, bytearray)):
                    continue
                first = holders.setdefault(id(value), context)
                if first.user_id != context.user_id:
                    shared.append((first.context_id, context.context_id, name))
        return ContaminationReport(checked=len(contexts), shared=tuple(shared))

    def _open_entry(self, context: UserExecutionContext) -> _Entry:
        entry = self._entries.get(context.context_id)
        if entry is None or entry.context is not context:
            raise ContextClosedError("The execution context is not open.")
        return entry

    def _detach(self, context_id: UUID) -> list[tuple[CloseCallback, UserExecutionContext]]:
        """Return all callbacks of a context and its descendants, in the order to call them."""
        with self._lock:
            entry = self._entries.get(context_id)
            if entry is None:
                return []
            callbacks, entry.callbacks = entry.callbacks, []
            children, entry.children = entry.children, []
        ordered: list[tuple[CloseCallback, UserExecutionContext]] = []
        for child_id in reversed(children):
            ordered += self._detach(child_id)
            ordered.append((partial(self._forget, child_id), entry.context))
        return ordered + [(callback, entry.context) for callback in reversed(callbacks)]

    def _finish(self, context_id: UUID) -> bool:
        entry = self._entries.get(context_id)
        self._forget(context_id)
        return entry is not None

    def _forget(self, context_id: UUID) -> None:
        with self._lock:
            entry = self._entries.pop(context_id, None)
            if entry is None:
                return
            if entry.context.depth == 0:
                self._drop_count(entry.context.user_id, by=1)
            parent = self._entries.get(entry.context.parent_id) if entry.context.parent_id else None
            if parent is not None and context_id in parent.children:
                parent.children.remove(context_id)
        entry.context.state.close()

    def _drop_count(self, user_id: UUID, *, by: int) -> None:
        self._roots_by_user[user_id] -= by
        if self._roots_by_user[user_id] <= 0:
            del self._roots_by_user[user_id]


def _log_failed_callback(context: UserExecutionContext) -> None:
    logger.exception(
        "A close callback failed: context %s, user %s, run %s",
        context.context_id,
        context.user_id,
        context.run_id,
    )


@cache
def get_context_manager() -> UserContextManager:
    """Return this process's manager."""
    return UserContextManager()
