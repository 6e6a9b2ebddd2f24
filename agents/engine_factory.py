"""Making, counting and closing execution engines."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from agents.engine import UserExecutionEngine
from agents.event_log import EventLog
from agents.registry import AgentRegistry
from contexts.context import UserExecutionContext
from contexts.exceptions import ConflictError
from contexts.manager import UserContextManager

ENGINES_PER_USER = 2


class ExecutionEngineFactory:
    """Makes engines, at most two at a time for a user unless their tier allows more runs at once.

    Belongs to one event loop, like the worker that owns it.
    """

    def __init__(self, *, manager: UserContextManager, registry: AgentRegistry) -> None:
        """Make engines whose contexts are in `manager` and whose agents are in `registry`.

        Raises:
            TypeError: when either is missing.
        """
        if not isinstance(manager, UserContextManager) or not isinstance(registry, AgentRegistry):
            raise TypeError("An engine factory needs a UserContextManager and an AgentRegistry.")
        self._manager = manager
        self._registry = registry
        self._active: dict[UUID, UserExecutionEngine] = {}
        self._places: Counter[UUID] = Counter()
        self._place_freed = asyncio.Condition()

    @property
    def active_engines(self) -> int:
        """Return how many engines are at work."""
        return len(self._active)

    @asynccontextmanager
    async def user_place(self, user_id: UUID, *, concurrent_runs: int) -> AsyncIterator[None]:
        """Wait until the user has a free place, and hold it meanwhile."""
        limit = max(ENGINES_PER_USER, concurrent_runs) if concurrent_runs > 1 else 1
        async with self._place_freed:
            await self._place_freed.wait_for(lambda: self._places[user_id] < limit)
            self._places[user_id] += 1
        try:
            yield
        finally:
            async with self._place_freed:
                self._places[user_id] -= 1
                if not self._places[user_id]:
                    del self._places[user_id]
                self._place_freed.notify_all()

    @asynccontextmanager
    async def user_execution_scope(
        self, context: UserExecutionContext, log: EventLog
    ) -> AsyncIterator[UserExecutionEngine]:
        """Make the engine of `context`'s run for the time of the block.

        Raises:
            ConflictError: when the run has an engine already.
        """
        engine = self.create_for_user(context, log)
        try:
            yield engine
        finally:
            self.cleanup_engine(engine)

    def create_for_user(self, context: UserExecutionContext, log: EventLog) -> UserExecutionEngine:
        """Make an engine; the caller hands it back with `cleanup_engine`.

        Raises:
            ConflictError: when the run has an engine already, or the context has no run.
        """
        if context.run_id is None:
            raise ConflictError("An engine needs a context with a run.")
        if context.run_id in self._active:
            raise ConflictError("This run has an engine already.")
        engine = UserExecutionEngine(context=context, manager=self._manager, registry=self._registry, log=log)
        self._active[context.run_id] = engine
        return engine

    def cleanup_engine(self, engine: UserExecutionEngine) -> bool:
        """Forget an engine; return whether it was known."""
        run_id = engine.context.run_id
        return run_id is not None and self._active.pop(run_id, None) is not None
