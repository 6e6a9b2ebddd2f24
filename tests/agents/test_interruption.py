"""Ending work from outside, and finishing what must not be cut short."""

import asyncio

import pytest

from agents.interruption import Interruptible, finish_all


class StoppedError(Exception):
    """What the tests interrupt with."""


async def wait_for_ever(work, entered):
    async with work:
        entered.set()
        await asyncio.Event().wait()


async def test_an_interruption_ends_the_work_with_its_error():
    work, entered = Interruptible(), asyncio.Event()
    task = asyncio.create_task(wait_for_ever(work, entered))
    await entered.wait()
    work.interrupt(StoppedError("first"))
    work.interrupt(StoppedError("second"))
    with pytest.raises(StoppedError, match="first"):
        await task
    assert task.cancelling() == 0


async def test_the_error_keeps_what_it_was_raised_from():
    work, entered = Interruptible(), asyncio.Event()
    task = asyncio.create_task(wait_for_ever(work, entered))
    await entered.wait()
    error, cause = StoppedError(), ConnectionError()
    error.__cause__ = cause
    work.interrupt(error)
    with pytest.raises(StoppedError) as raised:
        await task
    assert raised.value.__cause__ is cause


async def test_a_cancellation_from_elsewhere_stays_one():
    work, entered = Interruptible(), asyncio.Event()
    task = asyncio.create_task(wait_for_ever(work, entered))
    await entered.wait()
    work.interrupt(StoppedError())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_work_interrupted_before_it_begins_does_not_begin():
    work, entered = Interruptible(), asyncio.Event()
    work.interrupt(StoppedError())
    with pytest.raises(StoppedError):
        await wait_for_ever(work, entered)
    assert not entered.is_set()


async def test_work_that_has_ended_is_not_interrupted():
    work = Interruptible()
    async with work:
        pass
    work.interrupt(StoppedError())
    await asyncio.sleep(0)


async def test_an_error_of_the_works_own_is_kept():
    work, entered = Interruptible(), asyncio.Event()

    async def fail_when_cancelled():
        try:
            await wait_for_ever(work, entered)
        finally:
            raise KeyError("mine")

    task = asyncio.create_task(fail_when_cancelled())
    await entered.wait()
    work.interrupt(StoppedError())
    with pytest.raises(KeyError):
        await task


async def test_all_works_are_finished_and_the_first_error_raised():
    done = []

    async def work(name, error=None):
        await asyncio.sleep(0)
        done.append(name)
        if error is not None:
            raise error

    with pytest.raises(KeyError):
        await finish_all(work("a", KeyError("a")), work("b", ValueError("b")), work("c"))
    assert sorted(done) == ["a", "b", "c"]


async def test_works_are_finished_also_when_cancelled():
    release, done = asyncio.Event(), []

    async def work():
        await release.wait()
        done.append(1)

    task = asyncio.create_task(finish_all(work()))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    release.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == [1]
