"""A worker process as `manage.py worker` is one, which also tells what it did, used and waited for."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress

import django
import uvloop

from benchmarks.live.commands import serve_commands
from benchmarks.runs.lag import LagWatch

ENDS = frozenset({"agent_completed", "run_failed", "run_cancelled"})
# All threads of a process that rests use no more than this in a second.
RESTING_S = 0.02


class Figures:
    """Is told of every event once it is committed; an event sink."""

    def __init__(self) -> None:
        """Know of none."""
        self.started_at: dict[str, float] = {}
        self.ended: dict[str, str] = {}
        self.ended_at = 0.0
        self._changed = asyncio.Event()

    def deliver_events(self, events: Sequence[object], context: object) -> None:
        """Note when runs start and end."""
        for event in events:
            kind, run_id = event.type, str(event.run_id)  # type: ignore[attr-defined]
            if kind == "agent_started":
                self.started_at[run_id] = time.monotonic()
            elif kind in ENDS:
                self.ended[run_id] = kind
                self.ended_at = time.monotonic()
                self._changed.set()

    def deliver_delta(self, delta: object, context: object) -> None:
        """Leave it."""

    async def flush(self) -> None:
        """Have nothing to flush."""

    async def wait(self, count: int) -> None:
        """Return when so many runs have ended."""
        while len(self.ended) < count:
            self._changed.clear()
            await self._changed.wait()


class Worker:
    """The commands."""

    def __init__(self) -> None:
        """Belong to the running loop; take no jobs yet."""
        from agents.event_sinks import register_event_sink

        self._figures = Figures()
        self._lag = LagWatch()
        self._working: asyncio.Task[None] | None = None
        register_event_sink(self._figures)

    async def work(self, concurrency: int) -> None:
        """Begin to take jobs."""
        from agents.worker import run_worker
        from contexts.garbage import settle_garbage_collection

        settle_garbage_collection()
        self._lag.take()
        self._working = asyncio.create_task(run_worker(concurrency=concurrency))

    async def rest(self) -> None:
        """Take no more jobs; return when the worker has ended."""
        assert self._working is not None
        self._working.cancel()
        with suppress(asyncio.CancelledError):
            await self._working

    async def settle(self) -> None:
        """Return when this process has nothing more to do, such as to warm up."""
        while True:
            before = time.process_time()
            await asyncio.sleep(1)
            if time.process_time() - before < RESTING_S:
                self._lag.take()
                return

    async def wait(self, count: int) -> float:
        """Return the CPU seconds of this process so far, once so many runs have ended in all."""
        await self._figures.wait(count)
        return time.process_time()

    async def cpu_seconds(self) -> float:
        """Return the CPU seconds of this process so far."""
        return time.process_time()

    async def ended(self) -> dict[str, str]:
        """Return the last events of the runs that have ended here."""
        return self._figures.ended

    async def started_at(self) -> dict[str, float]:
        """Return the monotonic times at which the runs' `agent_started` was committed."""
        return self._figures.started_at

    async def ended_at(self) -> float:
        """Return the monotonic time at which the last run ended."""
        return self._figures.ended_at

    async def lags(self) -> list[float]:
        """Return the loop's lags in seconds since the last time, or since the work began."""
        return self._lag.take()

    async def bare(self, count: int, streams: bool) -> float:
        """Carry out runs with Pydantic AI alone; return the CPU seconds that took."""
        from benchmarks.runs.bare import run_bare

        before = time.process_time()
        for _ in range(count):
            await run_bare(streams=streams)
        return time.process_time() - before


async def _serve() -> None:
    worker = Worker()
    commands = (
        *(worker.work, worker.rest, worker.settle, worker.wait, worker.cpu_seconds, worker.ended),
        *(worker.started_at, worker.ended_at, worker.lags, worker.bare),
    )
    serve_commands({command.__name__: command for command in commands}, asyncio.get_running_loop())
    await asyncio.Event().wait()


if __name__ == "__main__":
    django.setup()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve())
