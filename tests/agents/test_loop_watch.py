"""A run whose code keeps the event loop from coming round is ended, and nothing else is."""

import asyncio
import logging
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import uvloop

from agents import loop_watch
from agents.loop_watch import LAG, LoopWatch
from agents.run_guard import RunGuard, RunStalledError
from contexts.exceptions import RunFailedError

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[2]
STALL_SECONDS = 0.1
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
logger = logging.getLogger(__name__)


async def spins():
    while True:
        pass


async def spins_in_a_task_of_its_own():
    await asyncio.create_task(spins())


async def spins_in_a_callback():
    def spin():
        while True:
            pass

    asyncio.get_running_loop().call_soon(spin)
    await asyncio.Event().wait()


async def blocks_in_the_system():
    time.sleep(1_000)  # noqa: ASYNC251 - on purpose


async def blocks_in_c():
    re.match(r"(a+)+$", "a" * 60 + "b")


async def is_always_in_a_place_that_others_need():
    while True:
        logger.debug("Nothing.")


async def swallows_every_error():
    while True:
        try:
            while True:
                pass
        except BaseException:  # noqa: BLE001, S110 - on purpose
            pass


async def swallows_and_goes_on():
    while True:
        try:
            while True:
                pass
        except BaseException:  # noqa: BLE001 - on purpose
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                return "it went on"


async def raises_a_group():
    async with asyncio.TaskGroup() as group:
        group.create_task(spins())


HOSTILE = [
    spins,
    spins_in_a_task_of_its_own,
    spins_in_a_callback,
    blocks_in_the_system,
    blocks_in_c,
    is_always_in_a_place_that_others_need,
    swallows_every_error,
    swallows_and_goes_on,
    raises_a_group,
]


async def end(code, run_id="run-1"):
    with pytest.raises(RunFailedError) as caught:
        async with RunGuard(run_id):
            await code()
    return caught.value


def run(main, loop="asyncio"):
    """Run it in a loop of its own in the main thread, as servers do."""
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.get_loop().set_exception_handler(lambda loop, context: None)
        return runner.run(main())


@pytest.mark.mission_critical("P3")
@pytest.mark.parametrize("loop", LOOPS)
def test_a_run_that_keeps_the_loop_is_ended_and_its_neighbours_go_on(loop, monkeypatch):
    monkeypatch.setattr(loop_watch, "_tell", lambda *_: None)

    async def neighbour(done):
        turns = 0
        async with RunGuard("neighbour"):
            while not done.is_set():
                turns += 1
                await asyncio.sleep(0)
        return turns

    async def main():
        async with LoopWatch(stall_seconds=STALL_SECONDS):
            done = asyncio.Event()
            beside = asyncio.create_task(neighbour(done))
            errors = [await end(code) for code in HOSTILE]
            done.set()
            assert await beside > 0
            return errors

    errors = run(main, loop)
    assert {(error.code, error.retryable) for error in errors} == {("stalled", False)}


def test_only_one_step_that_takes_too_long_counts_and_not_many_short_ones():
    async def short(number):
        async with RunGuard(f"run-{number}"):
            time.sleep(0.1)  # noqa: ASYNC251 - on purpose
            return number

    async def main():
        async with LoopWatch(stall_seconds=0.8):
            return await asyncio.gather(*(short(number) for number in range(14)))

    assert run(main) == list(range(14))


def test_a_stall_of_no_run_is_told_once_and_ends_nothing(caplog):
    until = time.monotonic() + 20

    def told():
        return [record for record in caplog.records if "stands still" in record.message]

    async def main():
        async with LoopWatch(stall_seconds=STALL_SECONDS):
            while not told():
                assert time.monotonic() < until
            spun_until = time.monotonic() + 2 * STALL_SECONDS
            while time.monotonic() < spun_until:
                pass
        return "undisturbed"

    assert run(main) == "undisturbed"
    (record,) = told()
    assert "in main" in record.message


PREFACE = """
import asyncio, time
from agents import loop_watch
from agents.loop_watch import LoopWatch
from agents.run_guard import RunGuard
"""
STOPPED = """
async def main():
    async with LoopWatch(stall_seconds=1) as watch, RunGuard("run"):
        while watch._suspect is None:
            pass
        print("suspected", flush=True)
        until = time.monotonic() + 0.1
        while time.monotonic() < until:
            pass
        await asyncio.sleep(0)
    print("undisturbed", flush=True)

asyncio.run(main())
"""
HOPELESS = """
loop_watch.GIVE_UP_SECONDS = 0.3
loop_watch.may_be_ended = lambda frame, began_by: False

async def main():
    async with LoopWatch(stall_seconds=0.2), RunGuard("run"):
        while True:
            pass

asyncio.run(main())
"""


def start(program):
    """Start a program of its own; what it logs is told with what it prints."""
    environment = {
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "DEBUG": "1",
    }
    return subprocess.Popen(
        [sys.executable, "-c", PREFACE + program],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_the_time_for_which_a_process_was_stopped_is_no_fault_of_its_run():
    with start(STOPPED) as process:
        assert process.stdout.readline() == "suspected\n"
        process.send_signal(signal.SIGSTOP)
        time.sleep(1.2)
        process.send_signal(signal.SIGCONT)
        assert process.stdout.read() == "undisturbed\n"
    assert process.returncode == 0


def test_a_process_that_cannot_be_freed_ends():
    with start(HOPELESS) as process:
        assert "could not be freed" in process.stdout.read()
    assert process.returncode == loop_watch.STALLED_EXIT_STATUS


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (MemoryError(), "out_of_memory"),
        (BaseExceptionGroup("", [MemoryError(), ValueError()]), "out_of_memory"),
        (SystemExit(1), "internal"),
        (KeyboardInterrupt(), "internal"),
        (GeneratorExit(), "internal"),
    ],
)
async def test_what_would_end_more_than_the_run_ends_the_run(raised, code):
    async def raises():
        raise raised

    async with LoopWatch():
        assert (await end(raises)).code == code


async def test_other_errors_and_cancellations_pass():
    async with LoopWatch():
        with pytest.raises(ValueError, match="as it was"):
            async with RunGuard("run"):
                raise ValueError("as it was")

        async def wait():
            async with RunGuard("run"):
                await asyncio.Event().wait()

        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_the_memory_of_what_was_too_much_is_let_go_of():
    class Load:
        alive = 0

        def __init__(self):
            Load.alive += 1

        def __del__(self):
            Load.alive -= 1

    async def allocates():
        load = [Load()]
        raise MemoryError(len(load))

    async with LoopWatch():
        error = await end(allocates)
        assert error.retryable
        assert Load.alive == 0


async def test_lag_is_measured_and_in_another_thread_nothing_more_is_done():
    def count():
        return next(sample.value for sample in LAG.collect()[0].samples if sample.name.endswith("_count"))

    before = count()
    handler = signal.getsignal(loop_watch.SIGNAL)

    async def measure():
        async with LoopWatch():
            assert signal.getsignal(loop_watch.SIGNAL) is handler
            while count() < before + 3:  # noqa: ASYNC110 - told by nobody
                await asyncio.sleep(0.01)
            async with RunGuard("run"):
                return True

    results = []
    thread = threading.Thread(target=lambda: results.append(asyncio.run(measure())))
    thread.start()
    await asyncio.to_thread(thread.join, 30)
    assert results == [True]


def test_the_error_is_no_exception_that_code_catches_by_habit():
    assert not issubclass(RunStalledError, Exception)
