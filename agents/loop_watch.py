"""A watch over an event loop: how late it is, and the end of a run whose code keeps it from coming round.

An exception can be raised in another thread at any time (`PyThreadState_SetAsyncExc`), but whoever raises it
cannot be sure what that thread does when it arrives. So the loop's thread looks for itself: a thread beside
it notices that the loop does not come round, and sends it a signal, whose handler runs in the midst of the
code that is in the way. It sees whose code that is, and raises only in a run's own, at a place where it can
be ended (`agents.safe_points`); anywhere else it returns, and nothing has happened. A signal also ends a call
that waits in the system, such as `time.sleep`. Against C code that holds Python's lock, of which that thread
needs a moment, the system's timer for used CPU time sends the same signal; C code that neither gives the lock
back nor looks for signals ends when it ends.
"""

import asyncio
import ctypes
import logging
import os
import signal
import threading
import time
import traceback
import weakref
from collections.abc import Container
from functools import partial
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from django.conf import settings
from prometheus_client import Histogram

from agents.run_guard import RunGuard, RunStalledError, current_guard
from agents.safe_points import may_be_ended

logger = logging.getLogger(__name__)

BEAT_SECONDS = 0.05
"""How often the loop has to come round, by itself."""
LOOKS = 4
"""How often a step of a task is looked at, in the time that it may take, before it counts as stalled."""
SIGNAL = getattr(signal, "SIGVTALRM", None)
PATIENT_ERRORS = 3
"""After so many errors that a run's code has swallowed, and at unsafe places, looks follow quickly."""
QUICK_SECONDS = 0.002
GIVE_UP_SECONDS = 20.0
"""After so long of that, the process ends: it does nothing any more, and other workers take its runs over."""
STALLED_EXIT_STATUS = 75
_STACK_DEPTH = 30
_CALLBACKS = {asyncio.Handle._run.__code__, asyncio.Runner.run.__code__}
"""What calls the loop's callbacks: asyncio's own loop, and one that is written in C."""

LAG = Histogram(
    "netra_loop_lag_seconds",
    "How late the event loop came round to what was due.",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)
# In C, for the signal that a function in Python sent would be seen to before that had returned; the second
# argument is the reference, of which nothing is wanted.
_signal_again = partial(
    ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.py_object)(
        ("PyErr_SetInterruptEx", ctypes.pythonapi)
    ),
    SIGNAL,
)


class LoopWatch:
    """Watches the running event loop: `async with LoopWatch(): …`; one at a time in a process.

    In the main thread it also ends what stalls the loop, of the runs in a `RunGuard`; in another one, as on
    Windows, it measures only.
    """

    def __init__(self, *, stall_seconds: float | None = None) -> None:
        """End a run's code that keeps the loop for `stall_seconds` (default: `NETRA_LOOP_STALL_S`)."""
        self._most_seconds = stall_seconds or settings.LOOP_STALL_SECONDS
        self._look_seconds = self._most_seconds / LOOKS
        self._timer: asyncio.TimerHandle | None = None
        self._thread: threading.Thread | None = None
        self._has_ended = threading.Event()
        self._earlier_handler: Any = None
        self._came_round_at = self._due_at = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._forget()

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._due_at = time.monotonic()
        self._beat()
        if SIGNAL is not None and threading.current_thread() is threading.main_thread():
            self._earlier_handler = signal.signal(SIGNAL, self._look_at)
            self._thread = threading.Thread(target=self._watch, name="loop-watch", daemon=True)
            self._thread.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._timer is not None
        self._timer.cancel()
        if self._thread is not None and SIGNAL is not None:
            self._has_ended.set()
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            self._thread.join()
            signal.signal(SIGNAL, self._earlier_handler)

    # -- in the event loop

    def _beat(self) -> None:
        assert self._loop is not None
        now = time.monotonic()
        LAG.observe(max(0.0, now - self._due_at))
        self._came_round_at, self._due_at = now, now + BEAT_SECONDS
        if self._suspect is not None:
            self._forget()
        if self._thread is not None:
            signal.setitimer(signal.ITIMER_VIRTUAL, 2 * self._look_seconds, self._look_seconds)
        self._timer = self._loop.call_later(BEAT_SECONDS, self._beat)

    def _end_stalled(self, guard: RunGuard) -> None:
        self._came_round_at = time.monotonic()
        self._forget()
        guard.end_stalled()

    def _forget(self) -> None:
        self._suspect: tuple[object, RunGuard | None] | None = None
        self._looked_at = self._waited = self._held_seconds = 0.0
        self._has_told = False
        self._errors = 0
        self._watched_error: weakref.ref[RunStalledError] | None = None
        self._is_quick = False
        self._began_at: float | None = None

    # -- in a thread beside it

    def _watch(self) -> None:
        loop_thread = threading.main_thread().ident
        assert loop_thread is not None
        assert SIGNAL is not None
        while not self._has_ended.wait(QUICK_SECONDS if self._is_quick else self._look_seconds):
            if time.monotonic() - self._came_round_at < self._look_seconds:
                continue
            began_at = self._began_at
            if began_at is not None and time.monotonic() - began_at > GIVE_UP_SECONDS:
                logger.critical("The event loop could not be freed of a run's code; this process ends")
                logging.shutdown()
                os._exit(STALLED_EXIT_STATUS)
            signal.pthread_kill(loop_thread, SIGNAL)

    # -- in the midst of whatever the loop's thread does

    def _look_at(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if now - self._came_round_at < self._look_seconds * 0.9 or self._has_ended.is_set():
            return
        task = asyncio.current_task(self._loop)
        guard = current_guard()
        if not self._is_stalled_by((task, guard), now):
            return
        if guard is None:
            if not self._has_told:
                self._has_told = True
                _tell("The event loop stands still, for no run's sake", frame)
            return
        coroutine = None if task is None else task.get_coro()
        if coroutine is not None and not getattr(coroutine, "cr_running", True):
            return  # the task's step is over, or has not begun
        if self._began_at is None:
            self._began_at = now
            _tell(f"Run {guard.run_id} keeps the event loop from coming round, and is ended", frame)
        began_by: Container[object] = (
            _CALLBACKS if coroutine is None else {getattr(coroutine, "cr_frame", None)}
        )
        if not may_be_ended(frame, began_by=began_by):
            self._is_quick = True
            return
        self._errors += 1
        self._is_quick = self._errors >= PATIENT_ERRORS
        assert self._loop is not None
        # First of all that comes after this step, which may be the next one of the same task.
        self._loop.call_soon_threadsafe(self._end_stalled, guard)
        guard.is_stalled = True
        raise self._make_error()

    def _make_error(self) -> RunStalledError:
        """Return an error that is followed by another as soon as it is gone: outside of what swallowed it."""
        error = RunStalledError()
        self._watched_error = weakref.ref(error, _signal_again)
        return error  # and not raised here, for its traceback would keep it

    def _is_stalled_by(self, suspect: tuple[object, RunGuard | None], now: float) -> bool:
        """Tell whether one step of a task has been at work for too long, by the looks at it until now."""
        waited = _seconds_waited_for_cpu()
        if self._suspect != suspect:
            self._forget()
            self._suspect, self._held_seconds = suspect, self._look_seconds
        elif self._held_seconds < self._most_seconds:
            # That the machine is busy is no fault of the step's, nor that the process was stopped meanwhile.
            held = now - self._looked_at - (waited - self._waited)
            self._held_seconds += min(held, 1.5 * self._look_seconds)
        self._looked_at, self._waited = now, waited
        return self._held_seconds >= self._most_seconds


def _seconds_waited_for_cpu() -> float:
    """Return how long this thread was ready to run and had to wait, since it began; 0 where nobody knows."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


def _tell(words: str, frame: FrameType | None) -> None:
    """Log where the loop's thread is; in a thread, for the code that was interrupted may be writing too."""
    stack = traceback.StackSummary.extract(
        traceback.walk_stack(frame), limit=_STACK_DEPTH, lookup_lines=False, capture_locals=False
    )

    def write() -> None:
        stack.reverse()
        logger.error("%s:\n%s", words, "".join(stack.format()))

    threading.Thread(target=write, name="loop-watch-report", daemon=True).start()
