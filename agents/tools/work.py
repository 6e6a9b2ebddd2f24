"""One call of a tool at work: the CPU time that it takes, and the means to stop it."""

import ctypes
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from agents.datasets.query_process import QueryProcess
from agents.safe_points import may_be_ended
from contexts.exceptions import ToolError

logger = logging.getLogger(__name__)

T = TypeVar("T")

GRACE_SECONDS = 1.0
"""How long Python code may go on after it was stopped, to end by itself."""
ABANDON_SECONDS = 10.0
"""After so long it is left alone."""
AGAIN_SECONDS = 1.0
SHORTEST_AGAIN_SECONDS = 0.001
"""Code that swallows the error gets it again, sooner each time; so does code that is at no safe place."""


class ToolStoppedError(BaseException):
    """Raised in the midst of a stopped tool's code; no `Exception`, for those are often caught."""


class ToolWork:
    """What one call does in its thread, and in the process that answers its queries.

    Safe to use from threads.
    """

    def __init__(self) -> None:
        """Wait for `run`."""
        self._lock = threading.Lock()
        self._thread_clock: Callable[[], float] | None = None
        self._thread_id: int | None = None
        self._has_returned = False
        self._abandon: Callable[[int], None] = _leave_alone
        self._ended = threading.Event()
        self._ender: threading.Thread | None = None
        self._process: QueryProcess | None = None
        self._process_before = 0.0
        self._ended_seconds = 0.0
        self._counted_seconds = 0.0
        self._is_stopped = False

    def run(self, function: Callable[[], T], *, abandon: Callable[[int], None] | None = None) -> T:
        """Return what `function` returns; it runs in the calling thread and is measured.

        Once the work was stopped, Python code is given a moment and then ended by an error. What cannot be
        ended so, such as a call that waits in the system, is given up: `abandon` gets the thread's id.

        Raises:
            ToolError: when the work was stopped, before or meanwhile, or needed more memory than there is.
            RuntimeError: when `function` tried to end the process.
        """
        before = time.thread_time()
        clock = _clock_of_this_thread()
        thread_id = threading.get_ident()
        with self._lock:
            self.check()
            self._abandon = abandon or _leave_alone
            self._thread_clock, self._thread_id = clock, thread_id
        # The error from outside comes at any bytecode; after the first line of `finally` only one that was
        # on its way; the second attempt at leaving is for that one.
        try:
            try:
                return function()
            finally:
                self._has_returned = True
                try:
                    self._leave(thread_id, before)
                except ToolStoppedError:
                    self._leave(thread_id, before)
        except ToolStoppedError:
            raise ToolError("The call was stopped.") from None
        except MemoryError as error:
            traceback.clear_frames(error.__traceback__)  # which hold what was too much
            raise ToolError("The tool needed more memory than there is.") from None
        except (StopIteration, SystemExit, KeyboardInterrupt, GeneratorExit) as error:
            raise RuntimeError(f"A tool raised {type(error).__name__}.") from error

    @contextmanager
    def using(self, process: QueryProcess) -> Iterator[None]:
        """Count what `process` uses meanwhile, and stop it when the work is stopped.

        Raises:
            ToolError: when the work was stopped before.
            RuntimeError: when it uses a process already.
        """
        with self._lock:
            self.check()
            if self._process is not None:
                raise RuntimeError("A tool uses one dataset at a time.")
            self._process, self._process_before = process, process.cpu_seconds
        try:
            yield
        finally:
            with self._lock:
                self._process = None
                self._ended_seconds += process.cpu_seconds - self._process_before

    def stop(self) -> None:
        """End the query that runs now, have every later one refused, and Python code ended that goes on."""
        with self._lock:
            self._is_stopped = True
            if self._process is not None:
                self._process.stop()
            if self._thread_id is not None and self._ender is None:
                self._ender = threading.Thread(target=self._end, name="tool-stop", daemon=True)
                self._ender.start()

    def check(self) -> None:
        """Refuse to go on when the work was stopped.

        Raises:
            ToolError: when it was.
        """
        if self._is_stopped:
            raise ToolError("The call was stopped.")

    @property
    def cpu_seconds(self) -> float:
        """Return what it has used so far."""
        with self._lock:
            return self._measure()

    def count(self) -> float:
        """Return what it has used since the last count."""
        with self._lock:
            before, self._counted_seconds = self._counted_seconds, self._measure()
            return max(0.0, self._counted_seconds - before)

    def _measure(self) -> float:
        seconds = self._ended_seconds
        if self._thread_clock is not None:
            seconds += self._thread_clock()
        if self._process is not None:
            seconds += self._process.cpu_seconds - self._process_before
        return seconds

    def _leave(self, thread_id: int, before: float) -> None:
        seconds = time.thread_time() - before
        with self._lock:
            if self._thread_id is not None:
                self._ended_seconds += seconds
                self._thread_id = self._thread_clock = None
        # Nobody raises any more; what was on its way is taken back.
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread_id), None)
        self._ended.set()

    def _end(self) -> None:
        """End the code that goes on after the stop; in a thread of its own."""
        stopped_at = time.monotonic()
        pause = GRACE_SECONDS
        while not self._ended.wait(pause):
            if time.monotonic() - stopped_at > ABANDON_SECONDS:
                self._give_up()
                return
            pause = max(SHORTEST_AGAIN_SECONDS, pause / 2) if self._raise() else SHORTEST_AGAIN_SECONDS

    def _raise(self) -> bool:
        """Raise the error in the tool's thread, if it can be ended where it is."""
        with self._lock:
            thread_id = self._thread_id
            if thread_id is None or self._has_returned:
                return True
            frame = sys._current_frames().get(thread_id)
            if not may_be_ended(frame, began_by={ToolWork.run.__code__}):
                return False
            # Python's lock is hardly ever given back between these two, so that the thread is where it was
            # seen; if it is, on a machine that is too busy, the error may come at a place that is less safe.
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(thread_id), ctypes.py_object(ToolStoppedError)
            )
            return True

    def _give_up(self) -> None:
        with self._lock:
            thread_id = self._thread_id
            if thread_id is None:
                return
            frame = sys._current_frames().get(thread_id)
            self._abandon(thread_id)
        stack = "".join(traceback.format_stack(frame, limit=10)) if frame is not None else ""
        logger.error("A tool that was stopped cannot be ended; its thread is left to itself:\n%s", stack)


def _leave_alone(thread_id: int) -> None:
    pass


def _clock_of_this_thread() -> Callable[[], float]:
    """Return what tells, in any thread, how much CPU time this one has used since now."""
    get_clock = getattr(time, "pthread_getcpuclockid", None)
    if get_clock is None:
        # macOS: the time that went by, which is no less.
        began = time.monotonic()
        return lambda: time.monotonic() - began
    clock, before = get_clock(threading.get_ident()), time.thread_time()
    return lambda: time.clock_gettime(clock) - before
