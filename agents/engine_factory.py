"""Making, counting and closing execution engines."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from uuid import UUID

from agents.engine import UserExecutionEngine
from agents.engine_metrics import EngineMetrics
from agents.event_log import EventLog
from agents.journal import Journal
from agents.llm.budget import ModelBudget
from agents.model_breakers import ModelBreakers
from agents.registry import AgentRegistry
from contexts.context import UserExecutionContext
from contexts.exceptions import (
    ConflictError,
    ContextClosedError,
    FencedError,
    NetraError,
    QuotaExceededError,
    UnavailableError,
)
from contexts.manager import UserContextManager
from contexts.metering import QuotaMeter
from contexts.quota_statements import Reservation

logger = logging.getLogger(__name__)

ENGINES_PER_USER = 2
IDLE_SECONDS = 300.0


class ExecutionEngineFactory:
    """Makes engines, at most two at a time for a user unless their tier allows more runs at once.

    Belongs to one event loop, like the worker that owns it.
    """

    def __init__(
        self,
        *,
        manager: UserContextManager,
        registry: AgentRegistry,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make engines whose contexts are in `manager` and whose agents are in `registry`.

        `clock` gives seconds from any fixed moment on.

        Raises:
            TypeError: when a dependency is missing.
        """
        if not isinstance(manager, UserContextManager) or not isinstance(registry, AgentRegistry):
            raise TypeError("An engine factory needs a UserContextManager and an AgentRegistry.")
        self._manager = manager
        self._registry = registry
        self._clock = clock
        self._breakers = ModelBreakers()
        self._active: dict[UUID, UserExecutionEngine] = {}
        self._is_shut_down = False
        self._hands_back = False
        self._counts: Counter[str] = Counter()

    @property
    def active_engines(self) -> int:
        """Return how many engines are made and not closed."""
        return len(self._active)

    @property
    def active_contexts(self) -> tuple[UserExecutionContext, ...]:
        """Return the contexts of the engines that are made and not closed."""
        return tuple(engine.context for engine in self._active.values())

    def interrupt(self, context: UserExecutionContext, error: NetraError) -> None:
        """Have a context's run end with `error`, if it is still under way."""
        assert context.run_id is not None
        engine = self._active.get(context.run_id)
        if engine is not None and engine.context is context:
            engine.interrupt(error)

    async def end_earlier_attempt(self, run_id: UUID) -> None:
        """End the engine that a run still has here from an attempt that was taken for lost meanwhile."""
        engine = self._active.get(run_id)
        if engine is not None:
            engine.interrupt(FencedError("The run has come back as another attempt."))
            await self.cleanup_engine(engine)

    def metrics(self) -> EngineMetrics:
        """Return the counts since the factory was made."""
        names = (name for name in EngineMetrics.__dataclass_fields__ if name != "active")
        return EngineMetrics(active=len(self._active), **{name: self._counts[name] for name in names})

    @asynccontextmanager
    async def user_execution_scope(
        self,
        context: UserExecutionContext,
        log: EventLog,
        *,
        journal: Journal | None = None,
        concurrent_runs: int = 1,
    ) -> AsyncIterator[UserExecutionEngine]:
        """Make the engine of `context`'s run for the time of the block.

        Raises:
            NetraError: as `create_for_user` does.
        """
        engine = self.create_for_user(context, log, journal=journal, concurrent_runs=concurrent_runs)
        try:
            yield engine
        except TimeoutError:
            self._counts["timeouts"] += 1
            raise
        finally:
            await self.cleanup_engine(engine)

    def create_for_user(
        self,
        context: UserExecutionContext,
        log: EventLog,
        *,
        journal: Journal | None = None,
        concurrent_runs: int = 1,
    ) -> UserExecutionEngine:
        """Make an engine; the caller hands it back with `cleanup_engine`.

        Without a `journal` the run has no earlier attempt.

        Raises:
            ConflictError: when the run has an engine already, or the context has no run.
            ContextClosedError: when the context is not open.
            QuotaExceededError: when the user has two engines, or `concurrent_runs` if that is more.
            UnavailableError: when the models of its agents cannot be used, failed too often lately, or
                the factory was shut down.
        """
        if self._is_shut_down:
            raise UnavailableError("No more runs are taken on here; the process is stopping.")
        run_id = context.run_id
        if run_id is None:
            raise ConflictError("An engine needs a context with a run.")
        if run_id in self._active:
            raise ConflictError("This run has an engine already.")
        if not self._manager.is_open(context):
            raise ContextClosedError("The execution context is not open.")
        limit = max(ENGINES_PER_USER, concurrent_runs)
        if sum(engine.context.user_id == context.user_id for engine in self._active.values()) >= limit:
            self._counts["rejected_by_limit"] += 1
            raise QuotaExceededError(
                f"At most {limit} runs may be at work at once.",
                resource="concurrent_runs",
                limit=limit,
                resets_at=None,
            )
        try:
            journal = journal or Journal(log)
            engine = self._breakers.call(
                context.preferences.model, partial(self._make, context, log, journal)
            )
        except Exception:
            self._counts["creation_errors"] += 1
            raise
        self._active[run_id] = engine
        self._counts["created"] += 1
        if self._hands_back:
            engine.hand_back()
        return engine

    def hand_back(self) -> None:
        """Have every run go on elsewhere, from the end of the step that it is at."""
        self._hands_back = True
        for engine in self._active.values():
            engine.hand_back()

    def take_on(self) -> None:
        """Have runs be carried out here again; those that were told to go on elsewhere do so."""
        self._hands_back = False

    def _make(self, context: UserExecutionContext, log: EventLog, journal: Journal) -> UserExecutionEngine:
        assert context.run_id is not None
        reservation = Reservation(
            id=context.run_id, tenant_id=context.tenant_id, user_id=context.user_id, fence=log.attempt
        )
        budget = ModelBudget(QuotaMeter(reservation))
        return UserExecutionEngine(
            context=context,
            manager=self._manager,
            registry=self._registry,
            models=self._registry.choose_models(context, budget),
            budget=budget,
            log=log,
            journal=journal,
            clock=self._clock,
        )

    async def cleanup_engine(self, engine: UserExecutionEngine) -> bool:
        """End an engine's run, if one is under way, and close it; return whether it was open.

        An error of its closing is counted and logged, and the engine is gone all the same.
        """
        context = engine.context
        assert context.run_id is not None
        if self._active.get(context.run_id) is not engine:
            return False
        try:
            await engine.close()
        except Exception:
            self._counts["cleanup_errors"] += 1
            logger.exception(
                "The engine of run %s of user %s failed to close", context.run_id, context.user_id
            )
        finally:
            was_mine = self._active.get(context.run_id) is engine
            if was_mine:
                del self._active[context.run_id]
                self._counts["cleaned"] += 1
        return was_mine

    async def cleanup_user_context(self, user_id: UUID) -> int:
        """Close all of a user's engines and their contexts; return how many."""
        engines = [engine for engine in self._active.values() if engine.context.user_id == user_id]
        closed = await self._close(engines)
        for engine in engines:
            await self._manager.cleanup_context(engine.context.context_id)
        return closed

    async def shutdown(self) -> int:
        """Close every engine and make no more; return how many were open."""
        self._is_shut_down = True
        return await self._close(self._active.values())

    async def close_idle_engines(self, *, every: float = IDLE_SECONDS / 10) -> None:
        """Close idle engines every so many seconds, until cancelled."""
        while True:
            await asyncio.sleep(every)
            await self.close_idle()

    async def close_idle(self) -> int:
        """Close the engines that have not been running for 300 s; return how many."""
        now = self._clock()
        idle = [
            engine
            for engine in self._active.values()
            if engine.idle_since is not None and now - engine.idle_since >= IDLE_SECONDS
        ]
        for engine in idle:
            logger.warning("The engine of run %s did nothing for long and is closed", engine.context.run_id)
        closed = await self._close(idle)
        self._counts["idle_closed"] += closed
        return closed

    async def _close(self, engines: Iterable[UserExecutionEngine]) -> int:
        closing = list(engines)
        for engine in closing:
            await self.cleanup_engine(engine)
        return len(closing)
