"""One call of a tool at work: the CPU time that it takes, and the means to stop it."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from agents.datasets.query_process import QueryProcess
from contexts.exceptions import ToolError

T = TypeVar("T")


class ToolWork:
    """What one call does in its thread, and in the process that answers its queries.

    Safe to use from threads.
    """

    def __init__(self) -> None:
        """Wait for `run`."""
        self._lock = threading.Lock()
        self._thread_clock: Callable[[], float] | None = None
        self._process: QueryProcess | None = None
        self._process_before = 0.0
        self._ended_seconds = 0.0
        self._counted_seconds = 0.0
        self._is_stopped = False

    def run(self, function: Callable[[], T]) -> T:
        """Return what `function` returns; it runs in the calling thread and is measured.

        Raises:
            ToolError: when the work was stopped before.
        """
        before = time.thread_time()
        clock = _clock_of_this_thread()
        with self._lock:
            self.check()
            self._thread_clock = clock
        try:
            return function()
        finally:
            with self._lock:
                self._thread_clock = None
                self._ended_seconds += time.thread_time() - before

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
        """End the query that runs now, and have every later one refused; Python code is not interrupted."""
        with self._lock:
            self._is_stopped = True
            if self._process is not None:
                self._process.stop()

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


def _clock_of_this_thread() -> Callable[[], float]:
    """Return what tells, in any thread, how much CPU time this one has used since now."""
    get_clock = getattr(time, "pthread_getcpuclockid", None)
    if get_clock is None:
        # macOS: the time that went by, which is no less.
        began = time.monotonic()
        return lambda: time.monotonic() - began
    clock, before = get_clock(threading.get_ident()), time.thread_time()
    return lambda: time.clock_gettime(clock) - before
