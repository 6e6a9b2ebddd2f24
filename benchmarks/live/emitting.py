"""Emitting events: as fast as it goes, or at a steady rate."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Protocol

MOST_SECONDS = 60.0
BURST_SECONDS = 20.0


class Emitter(Protocol):
    """Emits one user's events."""

    async def emit(self, sent_ns: int) -> None:
        """Emit an event that says when it was due; return once the next may follow."""


class Emitters:
    """The emitters of a process, made when their runs are named first."""

    def __init__(self, application: str) -> None:
        """Emit as `application` does: `bare`, `plain` or `netra`."""
        self._application = application
        self._by_run: dict[str, Emitter] = {}

    async def emit(
        self,
        people: Sequence[dict[str, str]],
        *,
        each: int,
        in_flight: int = 1,
        seconds: float = MOST_SECONDS,
    ) -> dict[str, Any]:
        """Emit `each` events a user as fast as it goes, but for no more than `seconds`.

        A user has `in_flight` events under way at most.
        """
        emitters = [self._of(person) for person in people]
        began_ns = time.monotonic_ns()
        end_ns = began_ns + int(seconds * 1e9)
        emitted = [0] * len(people)

        async def work(index: int) -> None:
            # at least one, even if the process has been kept from working until the time was over
            while emitted[index] < each:
                emitted[index] += 1
                await emitters[index].emit(time.monotonic_ns())
                if time.monotonic_ns() >= end_ns:
                    return

        await asyncio.gather(*(work(index) for index in range(len(people)) for _ in range(in_flight)))
        return {"began_ns": began_ns, "ended_ns": time.monotonic_ns(), "emitted": emitted}

    async def emit_burst_beside(
        self,
        people: Sequence[dict[str, str]],
        *,
        reader: dict[str, str],
        burst: int,
        in_flight: int,
        per_second: float,
    ) -> dict[str, Any]:
        """Emit a burst for one more user while the others get theirs at a steady rate, and as long."""
        ended = asyncio.Event()
        steadily = asyncio.create_task(
            self.emit_at_rate(people, per_second=per_second, seconds=MOST_SECONDS, until=ended)
        )
        emission = await self.emit([reader], each=burst, in_flight=in_flight, seconds=BURST_SECONDS)
        ended.set()
        return {
            **await steadily,
            "burst_seconds": (emission["ended_ns"] - emission["began_ns"]) / 1e9,
            "burst_emitted": sum(emission["emitted"]),
        }

    async def emit_at_rate(
        self,
        people: Sequence[dict[str, str]],
        *,
        per_second: float,
        seconds: float,
        until: asyncio.Event | None = None,
    ) -> dict[str, Any]:
        """Emit `per_second` events a user, the users' moments spread evenly; late ones are made up for."""
        emitters = [self._of(person) for person in people]
        began_ns = time.monotonic_ns()
        emitted = [0] * len(people)

        async def work(index: int) -> None:
            count = int(per_second * seconds)
            for number in range(count):
                if until is not None and until.is_set():
                    return
                due = began_ns / 1e9 + (number + index / len(people)) / per_second
                if (wait := due - time.monotonic()) > 0:
                    await asyncio.sleep(wait)
                emitted[index] += 1
                # what is emitted late for a busy process is late for its user
                await emitters[index].emit(int(due * 1e9))

        await asyncio.gather(*(work(index) for index in range(len(people))))
        return {"began_ns": began_ns, "ended_ns": time.monotonic_ns(), "emitted": emitted}

    def _of(self, person: dict[str, str]) -> Emitter:
        run_id = person["run_id"]
        if run_id not in self._by_run:
            self._by_run[run_id] = _emitter_class(self._application)(person)
        return self._by_run[run_id]


def _emitter_class(application: str) -> Any:
    # Each needs other things installed and set up.
    if application == "bare":
        from benchmarks.live.bare import BareEmitter

        return BareEmitter
    if application == "plain":
        from benchmarks.live.plain import PlainEmitter

        return PlainEmitter
    from benchmarks.live.netra import NetraEmitter

    return NetraEmitter
