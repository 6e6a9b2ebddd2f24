"""The CPU seconds of one tool call: set aside in small steps, watched, and counted."""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import TypeVar

from agents.interruption import Interruptible
from agents.tools.threads import get_tool_threads
from agents.tools.work import ToolWork
from contexts.database import call_in_executor
from contexts.exceptions import FencedError, LimitError, NetraError, ToolError
from contexts.metering import QuotaMeter, Taken, log_lost_use
from contexts.quotas import draw_quota
from contexts.resources import Resource

T = TypeVar("T")

STEP_SECONDS = 2
"""How much is set aside at a time."""
LOW_SECONDS = 0.3
"""With less than this left, more is set aside."""
LONGEST_PAUSE_SECONDS = 0.25
SHORTEST_PAUSE_SECONDS = 0.02


class CpuBudget:
    """What one call may use of its run's CPU seconds; without a meter, as much as it likes."""

    def __init__(self, meter: QuotaMeter | None, work: ToolWork) -> None:
        """Have what `work` uses counted by `meter`."""
        self._meter = meter
        self._work = work
        self._taken = Decimal(0)
        self._is_counted = False
        self._threads = get_tool_threads()
        # Without a meter the call is not counted among its run's.
        self._owner: object = work if meter is None else meter.reservation.id

    async def begin(self) -> None:
        """Set the first seconds aside.

        Raises:
            ToolError: when none are left.
            ConflictError, FencedError, UnavailableError: as `QuotaMeter.take` does.
        """
        try:
            await self._take_more()
        except LimitError as error:
            raise ToolError(f"The tool was not started. {error.message}") from error

    async def run(self, function: Callable[[], T]) -> T:
        """Return what `function` returns; it runs in a thread, and is stopped when the seconds are used up.

        Nobody waits for Python code that goes on then, until it is ended; it is counted nevertheless. A call
        waits when its run, or all runs together, have as many under way as there may be.

        Raises:
            ToolError: when it was stopped.
            ConflictError, FencedError, UnavailableError: when no more could be set aside for another reason.
        """
        interruption = Interruptible()
        watching = asyncio.create_task(self._watch(interruption), name="watch-cpu")
        try:
            async with interruption:
                return await call_in_executor(self._threads.for_run(self._owner), self._run, function)
        finally:
            self._work.stop()
            watching.cancel()
            await asyncio.wait([watching])
            if not watching.cancelled():
                watching.result()

    async def count(self) -> None:
        """Count what was used, and give back what was not; call it once, when the call is over.

        Raises:
            UnavailableError: as `QuotaMeter.put_back` does.
        """
        self._is_counted = True
        if self._meter is None or not self._taken:
            return
        taken: Taken = {Resource.CPU_SECONDS: self._taken}
        await self._meter.put_back(taken, {Resource.CPU_SECONDS: self._work.count()})

    def _run(self, function: Callable[[], T]) -> T:
        try:
            return self._work.run(function, abandon=self._threads.abandon)
        finally:
            # What went on after the call was over.
            if self._is_counted and self._taken and self._meter is not None:
                late: dict[str, float] = {Resource.CPU_SECONDS: self._work.count()}
                if not draw_quota(self._meter.reservation, late):
                    log_lost_use(self._meter.reservation, late)

    async def _watch(self, interruption: Interruptible) -> None:
        while self._taken:
            left = float(self._taken) - self._work.cpu_seconds
            if left < LOW_SECONDS:
                try:
                    await self._take_more()
                    continue
                except LimitError as error:
                    if left <= 0:
                        self._stop(interruption, ToolError(f"The tool was stopped. {error.message}"))
                        return
                except (NetraError, FencedError) as error:
                    self._stop(interruption, error)
                    return
            await asyncio.sleep(min(max(left, SHORTEST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS))

    def _stop(self, interruption: Interruptible, error: NetraError | FencedError) -> None:
        self._work.stop()
        interruption.interrupt(error)

    async def _take_more(self) -> None:
        if self._meter is not None:
            taken = await self._meter.take_up_to(Resource.CPU_SECONDS, STEP_SECONDS)
            self._taken += taken[Resource.CPU_SECONDS]
