"""One call's work: what it takes, and its stop."""

import threading
import time

import pytest

from agents.datasets.query_process import QueryProcess
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
