"""Threads for tools: one a call, at most so many at once, and so many for one run."""

import threading

import pytest

from agents.tools.threads import ToolThreads
from contexts.exceptions import ToolError

pytestmark = pytest.mark.unit

PATIENCE_SECONDS = 30


def occupy(threads, owner, count):
    """Begin calls that last until the returned event is set."""
    done = threading.Event()
    calls = [threads.submit(owner, lambda: done.wait(PATIENCE_SECONDS)) for _ in range(count)]
    return done, calls


def test_one_runs_calls_leave_threads_for_the_others():
    threads = ToolThreads(3, per_run=2)
    done, calls = occupy(threads, "greedy", 5)
    assert threads.submit("other", lambda: "served").result(PATIENCE_SECONDS) == "served"
    assert threads.working == 2
    done.set()
    assert [call.result(PATIENCE_SECONDS) for call in calls] == [True] * 5


def test_when_all_are_taken_calls_wait_in_turn_and_those_given_up_are_not_begun():
    threads = ToolThreads(1)
    done, calls = occupy(threads, "first", 1)
    served = []
    waiting = [threads.submit(number, lambda number=number: served.append(number)) for number in range(4)]
    assert waiting[1].cancel()
    assert served == []
    done.set()
    for call in (*calls, waiting[0], *waiting[2:]):
        call.result(PATIENCE_SECONDS)
    assert served == [0, 2, 3]
    assert threads.working == 0


def test_what_a_call_raises_is_told_and_its_thread_is_free_again():
    threads = ToolThreads(1)
    for error in (ValueError("on purpose"), SystemExit(1)):

        def fail(error=error):
            raise error

        with pytest.raises(type(error)):
            threads.submit("run", fail).result(PATIENCE_SECONDS)
    assert threads.submit("run", lambda: "served").result(PATIENCE_SECONDS) == "served"


def test_where_no_thread_can_be_started_the_call_is_told_so(monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    threads = ToolThreads(1)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        refused = threads.submit("run", lambda: None)
    with pytest.raises(ToolError, match="no thread free"):
        refused.result(0)
    assert threads.submit("run", lambda: "served").result(PATIENCE_SECONDS) == "served"


def test_their_ends_are_not_waited_for_when_the_process_ends():
    threads = ToolThreads(1)
    assert threads.submit("run", lambda: threading.current_thread().daemon).result(PATIENCE_SECONDS)
