"""Batches: in order, no larger than allowed, and nobody waits for what does not come."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import OperationalError
from psycopg.errors import DeadlockDetected

from contexts.batching import Batcher
from contexts.exceptions import UnavailableError
from tests.waiting import eventually

WAIT_S = 30


class Service:
    """Doubles numbers; `hold` keeps the next call from ending until `let_go`."""

    def __init__(self, fail: Callable[[Sequence[int]], Exception | None] = lambda _: None) -> None:
        self.batches: list[list[int]] = []
        self._fail = fail
        self._begun = threading.Event()
        self._may_end = threading.Event()
        self._may_end.set()

    def __call__(self, numbers: Sequence[int]) -> list[int]:
        self.batches.append(list(numbers))
        self._begun.set()
        assert self._may_end.wait(WAIT_S)
        if error := self._fail(numbers):
            raise error
        return [2 * number for number in numbers]

    def hold(self) -> None:
        self._begun.clear()
        self._may_end.clear()

    async def has_begun(self) -> None:
        assert await asyncio.to_thread(self._begun.wait, WAIT_S)

    def let_go(self) -> None:
        self._may_end.set()


async def behind_one(service: Service, batcher: Batcher[int, int], numbers: Sequence[int]) -> list[Any]:
    """Ask for all of `numbers` while a batch of its own is under way, then for them together."""
    service.hold()
    first = asyncio.create_task(batcher(0))
    await service.has_begun()
    tasks = [asyncio.create_task(batcher(number)) for number in numbers]
    await asyncio.sleep(0)
    service.let_go()
    assert await first == 0
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_lone_request_is_served_at_once_and_those_that_come_meanwhile_in_order_and_in_batches() -> (
    None
):
    service = Service()
    batcher = Batcher(service, size=4)
    assert await behind_one(service, batcher, range(1, 11)) == [2 * number for number in range(1, 11)]
    assert service.batches == [[0], [1, 2, 3, 4], [5, 6, 7, 8], [9, 10]]
    assert await batcher(11) == 22
    assert service.batches[-1] == [11]


async def test_a_request_that_breaks_its_batch_fails_alone() -> None:
    service = Service(lambda numbers: KeyError("poison") if 5 in numbers else None)
    outcomes = await behind_one(service, Batcher(service, size=8), range(1, 9))
    assert isinstance(outcomes.pop(4), KeyError)
    assert outcomes == [2, 4, 6, 8, 12, 14, 16]
    # By halves, not one by one.
    assert len(service.batches) == 8


async def test_a_deadlock_is_tried_again_and_a_database_that_is_away_fails_all_at_once() -> None:
    def fail(numbers: Sequence[int]) -> Exception | None:
        if len(numbers) == 4:
            error: Exception = OperationalError("deadlock detected")
            error.__cause__ = DeadlockDetected()
            return error
        return UnavailableError("away") if len(numbers) == 3 else None

    service = Service(fail)
    batcher = Batcher(service, size=8)
    assert await behind_one(service, batcher, [1, 2, 3, 4]) == [2, 4, 6, 8]
    service.batches.clear()
    outcomes = await behind_one(service, batcher, [1, 2, 3])
    assert {type(outcome) for outcome in outcomes} == {UnavailableError}
    assert service.batches == [[0], [1, 2, 3]]


async def test_a_service_with_too_few_outcomes_leaves_nobody_waiting() -> None:
    batcher: Batcher[int, int] = Batcher(lambda numbers: [1] * (len(numbers) - 1), size=8)
    outcomes = await asyncio.wait_for(
        asyncio.gather(batcher(1), batcher(2), batcher(3), return_exceptions=True), WAIT_S
    )
    assert {type(outcome) for outcome in outcomes} == {ValueError}


async def test_what_a_cancelled_caller_cannot_take_is_taken_back() -> None:
    service = Service()
    taken_back: list[int] = []
    batcher = Batcher(service, size=8, take_back=taken_back.extend)
    service.hold()
    under_way = asyncio.create_task(batcher(1))
    await service.has_begun()
    waiting, staying = asyncio.create_task(batcher(2)), asyncio.create_task(batcher(3))
    await asyncio.sleep(0)
    under_way.cancel()
    waiting.cancel()
    service.let_go()
    assert await staying == 6
    assert service.batches == [[1], [2, 3]]

    # Here the outcome is there, and the caller is cancelled before its turn comes.
    late: asyncio.Task[int] = asyncio.create_task(batcher(4))
    await asyncio.sleep(0)
    (queue,) = batcher._queues.values()
    (asked,) = queue._waiting
    asked.outcome.add_done_callback(lambda _: late.cancel())
    for cancelled in (under_way, waiting, late):
        with pytest.raises(asyncio.CancelledError):
            await cancelled
    await eventually(lambda: len(taken_back) == 3)
    assert sorted(taken_back) == [2, 4, 8]


async def test_what_cannot_be_taken_back_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(_: Sequence[int]) -> None:
        raise RuntimeError("no way back")

    service = Service()
    batcher = Batcher(service, size=8, take_back=refuse)
    service.hold()
    task = asyncio.create_task(batcher(1))
    await service.has_begun()
    task.cancel()
    service.let_go()
    await eventually(lambda: "no way back" in caplog.text)


async def test_nobody_is_left_waiting_when_the_event_loop_cancels_its_tasks() -> None:
    service = Service()
    batcher = Batcher(service, size=1)
    service.hold()
    callers = [asyncio.create_task(batcher(number)) for number in range(3)]
    await service.has_begun()
    (worker,) = [task for task in asyncio.all_tasks() if task.get_name() == "batcher"]
    worker.cancel()
    async with asyncio.timeout(WAIT_S):
        outcomes = await asyncio.gather(*callers, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {asyncio.CancelledError}
    service.let_go()
    assert await batcher(7) == 14


def test_event_loops_of_several_threads_have_batches_of_their_own() -> None:
    # Each passes only while the other's batch is under way, too.
    both = threading.Barrier(2, timeout=WAIT_S)

    def serve(numbers: Sequence[int]) -> list[int]:
        both.wait()
        return [2 * number for number in numbers]

    batcher = Batcher(serve, size=8)

    async def ask(start: int) -> list[int]:
        return await asyncio.gather(*[batcher(start + number) for number in range(4)])

    with ThreadPoolExecutor(2) as threads:
        outcomes = threads.map(lambda start: asyncio.run(ask(start)), [0, 10])
    assert list(outcomes) == [[0, 2, 4, 6], [20, 22, 24, 26]]
