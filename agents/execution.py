"""Carrying a run out in this process, to exactly one end whatever happens on the way."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

from agents.admission import (
    BegunRun,
    EndedRun,
    begin_run,
    end_cancelled_run,
    fail_run,
    note_hand_back,
)
from agents.engine import QUARANTINED, UserExecutionEngine
from agents.engine_factory import ExecutionEngineFactory
from agents.event_log import EventLog, FencedError
from agents.event_sinks import publish_event
from agents.interruption import PATIENCE_SECONDS
from agents.journal import Journal, RunHandedBackError
from agents.outcomes import RunOutcome, finish_run
from agents.run_guard import RunGuard
from agents.told import Told
from agents.usage import Usage
from contexts.database import call_in_thread
from contexts.database_loss import is_database_away, retry_while_away
from contexts.exceptions import ContextIsolationError, NetraError, QuarantinedError, RunFailedError
from contexts.factory import UserContextFactory, managed_user_context

logger = logging.getLogger(__name__)


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

    def hand_back(self) -> None:
        """Have every run go back to the queue as soon as the step that it is at has ended."""
        self._engines.hand_back()

    def take_on(self) -> None:
        """Carry runs out again."""
        self._engines.take_on()

    async def execute(
        self,
        run_id: UUID,
        *,
        user_id: UUID,
        tenant_id: UUID,
        is_stopping: Callable[[], bool],
    ) -> None:
        """Carry the run out to its last event.

        While the database is away the run waits for it, and goes on after the last step that was kept.
        `is_stopping` tells, when the task is cancelled, whether the process is stopping (the run
        goes back to the queue) or the user wants the run to end.

        Raises:
            RunHandedBackError: when the process is stopping, or nobody said why the task was cancelled.
        """
        self._run_ids.add(str(run_id))
        begin = partial(self._begin, run_id, user_id=user_id, tenant_id=tenant_id)
        given_back: int | None = None
        try:
            while True:
                begun = await begin(given_back=given_back)
                if isinstance(begun, EndedRun):
                    if begun.event is not None:
                        await publish_event(begun.event)
                    return
                try:
                    async with managed_user_context(begun.context, manager=self._contexts.manager):
                        await self._carry_out(begun, is_stopping)
                except Exception as error:
                    if not is_database_away(error):
                        raise
                    logger.warning("Run %s waits, for the database is away: %r", run_id, error)
                    given_back = begun.attempt
                else:
                    return
        except asyncio.CancelledError:
            # Cancelled between two states: the run ends here if it is to, else it goes back to the queue.
            end = partial(end_cancelled_run, run_id, user_id=user_id, tenant_id=tenant_id)
            event = None if is_stopping() else await retry_while_away(partial(call_in_thread, end))
            if event is None:
                raise RunHandedBackError from None
            await publish_event(event)
        finally:
            self._run_ids.discard(str(run_id))

    async def _begin(
        self, run_id: UUID, *, user_id: UUID, tenant_id: UUID, given_back: int | None
    ) -> BegunRun | EndedRun:
        """Take the run on; one that cannot be, whatever the reason, ends as failed.

        When cancelled, what was begun is given back first.
        """
        owner = {"user_id": user_id, "tenant_id": tenant_id}
        begin = partial(begin_run, run_id, self._contexts, **owner, given_back=given_back)
        beginning = asyncio.ensure_future(retry_while_away(partial(call_in_thread, begin)))
        try:
            return await asyncio.shield(beginning)
        except asyncio.CancelledError:
            await asyncio.wait([beginning])
            if not beginning.exception() and isinstance(begun := beginning.result(), BegunRun):
                await self._give_back(begun)
                await self._contexts.manager.cleanup_context(begun.context.context_id)
            raise
        except Exception as error:
            if is_database_away(error):
                raise
            logger.exception("Run %s could not be begun", run_id)
            failed = await call_in_thread(fail_run, run_id, **owner)
            return EndedRun(event=failed)

    async def _carry_out(self, begun: BegunRun, is_stopping: Callable[[], bool]) -> None:
        context = begun.context
        manager = self._contexts.manager
        told = begun.earlier.told()
        log = EventLog(context, attempt=begun.attempt, last_seq=begun.last_seq, manager=manager, told=told)
        journal = Journal(log, begun.earlier.steps)
        usage = Usage()
        await self._engines.end_earlier_attempt(log.run_id)
        try:
            async with self._engines.user_execution_scope(
                context, log, journal=journal, concurrent_runs=begun.concurrent_runs
            ) as engine:
                try:
                    async with asyncio.timeout(_seconds_left(begun, told.worked_seconds)):
                        outcome = await _supervise(engine, begun, told.worked_seconds, is_stopping)
                finally:
                    usage = engine.usage
        except FencedError:
            logger.warning("Run %s was taken over from attempt %d", context.run_id, begun.attempt)
            return
        except RunHandedBackError:
            await self._give_back(begun)
            raise
        except asyncio.CancelledError:
            if is_stopping() and not manager.is_quarantined(context):
                await self._give_back(begun)
                raise RunHandedBackError from None
            outcome = RunOutcome.cancelled(by="user", usage=usage)
        except TimeoutError:
            outcome = _failed("timeout", "The run took longer than your tier allows.", usage)
        except NetraError as error:
            if is_database_away(error):
                raise
            outcome = RunOutcome.failed(error, usage=usage)
        except Exception as error:
            if is_database_away(error):
                raise
            logger.exception("Run %s of user %s failed", context.run_id, context.user_id)
            outcome = _failed("internal", "Something went wrong inside Netra.", usage)
        await self._end(log, self._checked(log, outcome), told)

    async def _give_back(self, begun: BegunRun) -> None:
        """Note that the attempt is no loss; another will go on with the run."""
        try:
            await call_in_thread(note_hand_back, begun.context, attempt=begun.attempt)
        except Exception:
            logger.exception("Run %s counts as lost, though it is given back", begun.context.run_id)

    def _checked(self, log: EventLog, outcome: RunOutcome) -> RunOutcome:
        """Return the outcome that may leave: a quarantined run's end says so, and nothing else."""
        try:
            log.check(outcome.data)
        except (ContextIsolationError, QuarantinedError):
            return RunOutcome.failed(QuarantinedError(QUARANTINED), usage=outcome.usage)
        return outcome

    async def _end(self, log: EventLog, outcome: RunOutcome, told: Told) -> None:
        with suppress(FencedError):
            await _close_cut_off_calls(log, told)
        await log.settle()
        event = await call_in_thread(finish_run, log.context, outcome, attempt=log.attempt)
        if event is None:
            logger.warning("Run %s had ended before attempt %d could end it", log.run_id, log.attempt)
        else:
            log.publish(event)


async def _supervise(
    engine: UserExecutionEngine, begun: BegunRun, worked_seconds: float, is_stopping: Callable[[], bool]
) -> RunOutcome:
    """Have the engine work in a task of its own, which is left to itself when it cannot be interrupted."""

    async def guarded() -> RunOutcome:
        async with RunGuard(begun.context.run_id):
            return await engine.run(
                begun.context, begun.state, resumed=begun.has_started, worked_seconds=worked_seconds
            )

    work = asyncio.create_task(guarded(), name=f"run-{begun.context.run_id}")
    try:
        await asyncio.wait([work])
    except asyncio.CancelledError:
        if is_stopping():
            engine.hand_back()  # an interrupted call is not told to have ended
        work.cancel()
        await asyncio.wait([work], timeout=PATIENCE_SECONDS)
        if not work.done():
            logger.error("Run %s does not let itself be interrupted", begun.context.run_id)
            work.add_done_callback(_forget)
        else:
            _forget(work)
        raise
    if work.cancelled():
        raise RunFailedError("The run's code gave itself up.", code="internal", retryable=True)
    return work.result()


def _forget(work: "asyncio.Task[RunOutcome]") -> None:
    """Take note of how abandoned work ended, so that nobody is told it was not looked at."""
    if not work.cancelled() and (error := work.exception()) is not None:
        logger.debug("Interrupted work ended with %r", error)


async def _close_cut_off_calls(log: EventLog, told: Told) -> None:
    """Tell the end of calls which earlier attempts began, and which the run came by no more."""
    for call_id, call in list(told.open_calls.items()):
        error = {"code": "worker_lost", "message": "The worker was lost during this call."}
        data = {"call_id": call_id, "tool_name": call.data["tool_name"], "ok": False}
        await log.append(
            "tool_completed", agent_name=call.agent_name, data={**data, "error": error, "duration_ms": 0}
        )


def _failed(code: str, message: str, usage: Usage) -> RunOutcome:
    return RunOutcome.failed(RunFailedError(message, code=code, retryable=True), usage=usage)


def _seconds_left(begun: BegunRun, worked_seconds: float) -> float | None:
    deadline = begun.context.deadline
    if deadline is None:
        return None
    return max(0.0, (deadline - datetime.now(UTC)).total_seconds() - worked_seconds)
