"""One call's work: what it takes, and its stop."""

import threading
import time
from contextlib import suppress

import pytest

from agents.datasets.query_process import QueryProcess
from agents.tools import threads as threads_module
from agents.tools import work as work_module
from agents.tools.threads import ABANDONED, ToolThreads
from agents.tools.work import ToolWork
from contexts.exceptions import ToolError

pytestmark = pytest.mark.unit

PATIENCE_SECONDS = 30


def spin(seconds):
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def test_the_work_of_its_thread_is_measured_while_it_goes_on_and_counted_once():
    work, spun, go_on = ToolWork(), threading.Event(), threading.Event()

    def function():
        spin(0.2)
        spun.set()
        go_on.wait(PATIENCE_SECONDS)
        spin(0.1)
        return "done"

    results = []
    thread = threading.Thread(target=lambda: results.append(work.run(function)))
    thread.start()
    assert spun.wait(PATIENCE_SECONDS)
    spin(0.3)  # this thread's, which is no part of it
    early = work.count()
    assert 0.2 <= early < 0.3
    go_on.set()
    thread.join(PATIENCE_SECONDS)
    assert results == ["done"]
    assert early + work.count() == pytest.approx(work.cpu_seconds)
    assert work.cpu_seconds >= 0.3
    assert work.count() == 0


def test_where_a_threads_clock_cannot_be_read_time_counts_meanwhile(monkeypatch):
    monkeypatch.delattr(time, "pthread_getcpuclockid", raising=False)
    work, started, go_on = ToolWork(), threading.Event(), threading.Event()
    thread = threading.Thread(target=work.run, args=[lambda: started.set() or go_on.wait(PATIENCE_SECONDS)])
    thread.start()
    assert started.wait(PATIENCE_SECONDS)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while work.cpu_seconds < 0.1:
        assert time.monotonic() < deadline
    go_on.set()
    thread.join(PATIENCE_SECONDS)
    assert work.cpu_seconds < 0.1


def test_work_that_was_stopped_begins_nothing_more():
    work = ToolWork()
    work.stop()
    with pytest.raises(ToolError, match="stopped"):
        work.run(lambda: None)
    process = QueryProcess()
    try:
        with pytest.raises(ToolError, match="stopped"), work.using(process):
            pass
        assert not process.has_ended
    finally:
        process.close()


def test_a_tool_uses_one_process_at_a_time_and_a_stop_ends_that_one_only():
    work, first, second = ToolWork(), QueryProcess(), QueryProcess()
    try:
        with work.using(first), pytest.raises(RuntimeError, match="one dataset"), work.using(second):
            pass
        with work.using(second):
            work.stop()
        assert (first.has_ended, second.has_ended) == (False, True)
    finally:
        first.close()
        second.close()


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(work_module, "GRACE_SECONDS", 0.05)


def spin_until(condition):
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.002)


def endless():
    while True:
        pass


def stubborn():
    for _ in range(5):
        with suppress(BaseException):
            endless()
    endless()


def waits_in_short():
    while True:
        time.sleep(0.001)


@pytest.mark.mission_critical("P3")
@pytest.mark.parametrize("function", [endless, stubborn, waits_in_short])
def test_python_code_that_goes_on_after_its_stop_is_ended_and_counted(quick, function):
    threads, work = ToolThreads(1), ToolWork()
    future = threads.submit("run", lambda: work.run(function, abandon=threads.abandon))
    spin_until(lambda: work.cpu_seconds > 0)
    work.stop()
    with pytest.raises(ToolError, match="stopped"):
        future.result(PATIENCE_SECONDS)
    assert work.cpu_seconds > 0
    assert threads.abandoned == 0
    # What comes next in its place is not met by an error that was meant for it.
    assert [threads.submit("run", lambda: "undisturbed").result(PATIENCE_SECONDS) for _ in range(3)] == [
        "undisturbed"
    ] * 3


HOLD = """
def hold():
    lock.acquire()
    held.set()
    give_up_at = time.monotonic() + 0.3
    while time.monotonic() < give_up_at:
        pass
    lock.release()
"""


def test_code_is_ended_nowhere_that_others_need(quick):
    lock, held, work = threading.Lock(), threading.Event(), ToolWork()
    module = {"__name__": "logging.handlers", "lock": lock, "held": held, "time": time}
    exec(HOLD, module)  # noqa: S102 - as if it stood in a module of everyone's
    future = ToolThreads(1).submit("run", lambda: work.run(lambda: module["hold"]() or endless()))
    assert held.wait(PATIENCE_SECONDS)
    work.stop()
    with pytest.raises(ToolError, match="stopped"):
        future.result(PATIENCE_SECONDS)
    assert not lock.locked()


def test_a_tool_that_cannot_be_ended_is_given_up_and_its_place_is_free_again(quick, monkeypatch, caplog):
    monkeypatch.setattr(work_module, "ABANDON_SECONDS", 0.1)
    monkeypatch.setattr(threads_module, "ABANDONED_PER_THREAD", 1)
    threads, work = ToolThreads(1), ToolWork()
    started, may_end = threading.Event(), threading.Lock()
    may_end.acquire()
    of_others = ABANDONED._value.get()

    def hang():
        started.set()
        may_end.acquire()

    stuck = threads.submit("run", lambda: work.run(hang, abandon=threads.abandon))
    assert started.wait(PATIENCE_SECONDS)
    waiting = threads.submit("other", lambda: "served")
    work.stop()
    assert waiting.result(PATIENCE_SECONDS) == "served"
    assert (threads.abandoned, ABANDONED._value.get() - of_others) == (1, 1)
    with pytest.raises(ToolError, match="no thread free"):
        threads.submit("other", lambda: None)
    may_end.release()
    with pytest.raises(ToolError, match="stopped"):
        stuck.result(PATIENCE_SECONDS)
    assert (threads.working, threads.abandoned, ABANDONED._value.get() - of_others) == (0, 0, 0)
    assert threads.submit("other", lambda: "served").result(PATIENCE_SECONDS) == "served"
    assert "cannot be ended" in caplog.text


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (MemoryError(), ToolError),
        (SystemExit(1), RuntimeError),
        (KeyboardInterrupt(), RuntimeError),
        (GeneratorExit(), RuntimeError),
        (StopIteration(), RuntimeError),
        (ValueError("as it was"), ValueError),
    ],
)
def test_what_a_tool_raises_ends_no_more_than_its_call(raised, expected):
    def function():
        raise raised

    with pytest.raises(expected):
        ToolWork().run(function)
