"""Carrying a run out in this process, to exactly one end whatever happens on the way."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

from agents.admission import BegunRun, EndedRun, begin_run
from agents.engine import QUARANTINED
from agents.engine_factory import ExecutionEngineFactory
from agents.event_log import EventLog, FencedError
from agents.event_sinks import publish_event
from agents.outcomes import RunOutcome, finish_run
from agents.usage import Usage
from contexts.database import call_in_thread
from contexts.exceptions import ContextIsolationError, NetraError, QuarantinedError, RunFailedError
from contexts.factory import UserContextFactory, managed_user_context

logger = logging.getLogger(__name__)


class RunHandedBackError(Exception):
    """The process is stopping: the run goes back to the queue, for another attempt."""


class RunExecutor:
    """Takes runs on, one call a run; owned by a worker and its event loop."""

    def __init__(self, *, contexts: UserContextFactory, engines: ExecutionEngineFactory) -> None:
        """Make contexts with `contexts` and engines with `engines`."""
        self._contexts = contexts
        self._engines = engines
        self._run_ids: set[str] = set()

    @property
    def run_ids(self) -> frozenset[str]:
        """Return the ids of the runs that were taken on here and have not ended."""
        return frozenset(self._run_ids)

    async def execute(
        self,
        run_id: UUID,
        *,
        user_id: UUID,
        tenant_id: UUID,
        is_stopping: Callable[[], bool],
    ) -> None:
        """Carry the run out to its last event.

        `is_stopping` tells, when the task is cancelled, whether the process is stopping (the run
        goes back to the queue) or the user wants the run to end.

        Raises:
            RunHandedBackError: when the process is stopping.
        """
        self._run_ids.add(str(run_id))
        try:
            begun = await call_in_thread(
                begin_run, run_id, self._contexts, user_id=user_id, tenant_id=tenant_id
            )
            if isinstance(begun, EndedRun):
                if begun.event is not None:
                    await publish_event(begun.event)
                return
            async with managed_user_context(begun.context, manager=self._contexts.manager):
                await self._carry_out(begun, is_stopping)
        except asyncio.CancelledError:
            # Cancelled between two states: begin_run ends it, or it goes back to the queue.
            if is_stopping():
                raise RunHandedBackError from None
            ended = await call_in_thread(
                begin_run, run_id, self._contexts, user_id=user_id, tenant_id=tenant_id
            )
            if isinstance(ended, EndedRun) and ended.event is not None:
                await publish_event(ended.event)
        finally:
            self._run_ids.discard(str(run_id))

    async def _carry_out(self, begun: BegunRun, is_stopping: Callable[[], bool]) -> None:
        context = begun.context
        manager = self._contexts.manager
        log = EventLog(context, attempt=begun.attempt, last_seq=begun.last_seq, manager=manager)
        usage = Usage()
        try:
            async with self._engines.user_execution_scope(
                context, log, concurrent_runs=begun.concurrent_runs
            ) as engine:
                try:
                    await _close_cut_off_calls(begun, log)
                    async with asyncio.timeout(_seconds_left(begun)):
                        outcome = await engine.run(context, begun.state, resumed=begun.has_started)
                finally:
                    usage = engine.usage
        except FencedError:
            logger.warning("Run %s was taken over from attempt %d", context.run_id, begun.attempt)
            return
        except asyncio.CancelledError:
            if is_stopping() and not manager.is_quarantined(context):
                raise RunHandedBackError from None
            outcome = RunOutcome.cancelled(by="user", usage=usage)
        except TimeoutError:
            outcome = RunOutcome.failed(
                RunFailedError("The run took longer than your tier allows.", code="timeout", retryable=True),
                usage=usage,
            )
        except NetraError as error:
            outcome = RunOutcome.failed(error, usage=usage)
        except Exception:
            logger.exception("Run %s of user %s failed", context.run_id, context.user_id)
            outcome = RunOutcome.failed(
                RunFailedError("Something went wrong inside Netra.", code="internal", retryable=True),
                usage=usage,
            )
        await self._end(log, self._checked(log, outcome))

    def _checked(self, log: EventLog, outcome: RunOutcome) -> RunOutcome:
        """Return the outcome that may leave: a quarantined run's end says so, and nothing else."""
        try:
            log.check(outcome.data)
        except (ContextIsolationError, QuarantinedError):
            return RunOutcome.failed(QuarantinedError(QUARANTINED), usage=outcome.usage)
        return outcome

    async def _end(self, log: EventLog, outcome: RunOutcome) -> None:
        await log.settle()
        event = await call_in_thread(finish_run, log.context, outcome, attempt=log.attempt)
        if event is None:
            logger.warning("Run %s had ended before attempt %d could end it", log.run_id, log.attempt)
        else:
            log.publish(event)


async def _close_cut_off_calls(begun: BegunRun, log: EventLog) -> None:
    for call in begun.cut_off_calls:
        data = {
            "call_id": call.call_id,
            "tool_name": call.tool_name,
            "ok": False,
            "error": {"code": "worker_lost", "message": "The worker was lost during this call."},
            "duration_ms": 0,
        }
        await log.append("tool_completed", agent_name=call.agent_name, data=data)


def _seconds_left(begun: BegunRun) -> float | None:
    deadline = begun.context.deadline
    return None if deadline is None else max(0.0, (deadline - datetime.now(UTC)).total_seconds())
