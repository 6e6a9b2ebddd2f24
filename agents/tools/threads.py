"""The threads that tools run in: one a call, so that none of them is another's business.

A thread that cannot be stopped keeps nobody from a thread, and not the process from ending.
"""

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Hashable
from concurrent.futures import Executor, Future
from functools import cache, partial
from typing import Any, NamedTuple, TypeVar

from django.conf import settings
from prometheus_client import Gauge

from contexts.exceptions import ToolError

logger = logging.getLogger(__name__)

T = TypeVar("T")

THREADS_PER_RUN = 4
"""Calls of one run that are carried out at the same time; those of a dataset take turns anyway."""
ABANDONED_PER_THREAD = 4
"""So many times as many threads may be abandoned as used; then no call is taken on."""

_NO_THREAD = "The server has no thread free for a tool."

ABANDONED = Gauge(
    "netra_abandoned_tool_threads", "Threads whose tool was stopped, and goes on because it cannot be."
)


class _Call(NamedTuple):
    owner: Hashable
    work: Callable[[], Any]
    future: "Future[Any]"


class ToolThreads:
    """At most so many threads at once, and so many for one run; calls wait in turn. Safe from threads."""

    def __init__(self, size: int, *, per_run: int = THREADS_PER_RUN) -> None:
        """Start threads when they are needed, at most `size` at once, `per_run` of them for one owner."""
        self._size = size
        self._per_run = per_run
        self._lock = threading.Lock()
        self._waiting: deque[_Call] = deque()
        self._working: Counter[Hashable] = Counter()
        self._owners: dict[int, Hashable] = {}
        self._abandoned: set[int] = set()

    @property
    def working(self) -> int:
        """Return how many threads are at work and not abandoned."""
        return self._working.total()

    @property
    def abandoned(self) -> int:
        """Return how many are abandoned and have not ended."""
        return len(self._abandoned)

    def for_run(self, owner: Hashable) -> Executor:
        """Return the executor of one run's calls; those that are cancelled while they wait are not begun."""
        return _RunThreads(self, owner)

    def submit(self, owner: Hashable, work: Callable[[], T]) -> "Future[T]":
        """Have `work` done in a thread, now or when one is free.

        Raises:
            ToolError: when too many threads were abandoned.
        """
        future: Future[T] = Future()
        with self._lock:
            if len(self._abandoned) >= ABANDONED_PER_THREAD * self._size:
                raise ToolError(_NO_THREAD)
            self._waiting.append(_Call(owner, work, future))
            self._begin_waiting()
        return future

    def abandon(self, thread_id: int) -> None:
        """Count a thread of these as lost, if it is at work, so that another may take its place."""
        with self._lock:
            if thread_id in self._owners and thread_id not in self._abandoned:
                self._abandoned.add(thread_id)
                ABANDONED.inc()
                self._release(self._owners[thread_id])

    def _begin_waiting(self) -> None:
        kept: list[_Call] = []
        while self._waiting and self._working.total() < self._size:
            call = self._waiting.popleft()
            if self._working[call.owner] >= self._per_run:
                kept.append(call)
            elif call.future.set_running_or_notify_cancel():
                self._start(call)
        self._waiting.extendleft(reversed(kept))

    def _start(self, call: _Call) -> None:
        try:
            threading.Thread(target=self._work, args=(call,), name="tool", daemon=True).start()
        except (RuntimeError, MemoryError):
            logger.exception("No thread could be started for a tool")
            call.future.set_exception(ToolError(_NO_THREAD))
        else:
            self._working[call.owner] += 1

    def _work(self, call: _Call) -> None:
        thread_id = threading.get_ident()
        with self._lock:
            self._owners[thread_id] = call.owner
        try:
            result = call.work()
        except BaseException as error:  # noqa: BLE001 - whoever called hears of it
            outcome = partial(call.future.set_exception, error)
        else:
            outcome = partial(call.future.set_result, result)
        with self._lock:
            del self._owners[thread_id]
            if thread_id in self._abandoned:
                self._abandoned.discard(thread_id)
                ABANDONED.dec()
            else:
                self._release(call.owner)
        outcome()

    def _release(self, owner: Hashable) -> None:
        self._working[owner] -= 1
        if not self._working[owner]:
            del self._working[owner]
        self._begin_waiting()


class _RunThreads(Executor):
    """What asyncio takes for a pool of threads."""

    def __init__(self, threads: ToolThreads, owner: Hashable) -> None:
        self._threads = threads
        self._owner = owner

    def submit(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> "Future[T]":
        return self._threads.submit(self._owner, partial(function, *args, **kwargs))


@cache
def get_tool_threads() -> ToolThreads:
    """Return this process's threads for tools: as many as all of its runs may use at once."""
    return ToolThreads(THREADS_PER_RUN * settings.WORKER_CONCURRENCY)
