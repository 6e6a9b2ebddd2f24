"""One call of a synchronous service for what many coroutines ask at the same moment."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from django.db import InterfaceError, OperationalError
from psycopg_pool import PoolTimeout

from contexts.database import call_in_thread
from contexts.exceptions import UnavailableError

logger = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")

Serve = Callable[[Sequence[T]], Sequence[R]]
"""Returns an outcome for each of many requests, in their order; synchronous."""
TakeBack = Callable[[Sequence[R]], None]
"""Undoes what was done for requests whose callers are gone; synchronous."""

NO_DATABASE = (OperationalError, InterfaceError, PoolTimeout, UnavailableError)
"""What is raised when the database does not answer."""
# SQLSTATE classes: a deadlock, or a lock that could not be had.
_CONTENDED = ("40", "55")


def is_contended(error: Exception) -> bool:
    """Tell whether what the database refused may be tried again at once: others were in the way."""
    cause = error.__cause__ if isinstance(error, UnavailableError) and error.__cause__ else error
    state = getattr(cause.__cause__, "sqlstate", None) or ""
    return state.startswith(_CONTENDED)


class Batcher(Generic[T, R]):
    """Serves requests in batches: while one is under way the next collects, so a lone one waits for nothing.

    When a batch fails as a whole its halves are served, and so on, so that who is at fault fails alone;
    unless the database is away. A request is served whether or not its caller still waits.
    """

    def __init__(self, serve: Serve[T, R], *, size: int, take_back: TakeBack[R] | None = None) -> None:
        """Serve at most `size` requests by one call of `serve`, which is made in a thread.

        What `serve` raises must have left nothing done. Outcomes that a cancelled caller cannot take are
        handed to `take_back`.
        """
        self._serve = serve
        self._size = size
        self._take_back = take_back
        self._queues: WeakKeyDictionary[asyncio.AbstractEventLoop, _Queue[T, R]] = WeakKeyDictionary()

    async def __call__(self, request: T) -> R:
        """Return the outcome of `request`, or raise what `serve` raises."""
        loop = asyncio.get_running_loop()
        queue = self._queues.get(loop)
        if queue is None:
            queue = self._queues[loop] = _Queue(self._serve, self._size, self._take_back)
        return await queue.ask(request)


@dataclass(frozen=True, slots=True, eq=False)
class _Asked(Generic[T, R]):
    request: T
    outcome: "asyncio.Future[R]"


class _Queue(Generic[T, R]):
    """What waits in one event loop."""

    def __init__(self, serve: Serve[T, R], size: int, take_back: TakeBack[R] | None) -> None:
        self._serve = serve
        self._size = size
        self._take_back = take_back
        self._waiting: list[_Asked[T, R]] = []
        self._working: asyncio.Task[None] | None = None
        self._taking_back: set[asyncio.Task[None]] = set()

    async def ask(self, request: T) -> R:
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[R] = loop.create_future()
        self._waiting.append(_Asked(request, outcome))
        if self._working is None or self._working.done():
            self._working = loop.create_task(self._work(), name="batcher", context=Context())
        try:
            return await asyncio.shield(outcome)
        except asyncio.CancelledError:
            # Also when it was there, and the caller was cancelled before it came to take it.
            outcome.add_done_callback(self._let_go, context=Context())
            raise

    async def _work(self) -> None:
        while self._waiting:
            batch = self._waiting[: self._size]
            del self._waiting[: self._size]
            try:
                await self._serve_batch(batch)
            except BaseException:
                # The event loop ends: nobody is left waiting for what will not come.
                for asked in (*batch, *self._waiting):
                    asked.outcome.cancel()
                self._waiting.clear()
                raise

    async def _serve_batch(self, batch: Sequence[_Asked[T, R]]) -> None:
        try:
            outcomes = await call_in_thread(self._serve, [asked.request for asked in batch])
            answers = list(zip(batch, outcomes, strict=True))
        except Exception as error:  # noqa: BLE001 - whatever it is, whoever asked hears of it
            if len(batch) > 1 and (is_contended(error) or not isinstance(error, NO_DATABASE)):
                middle = len(batch) // 2
                await self._serve_batch(batch[:middle])
                await self._serve_batch(batch[middle:])
                return
            for asked in batch:
                asked.outcome.set_exception(error)
            return
        for asked, value in answers:
            asked.outcome.set_result(value)

    def _let_go(self, outcome: "asyncio.Future[R]") -> None:
        if self._take_back is None or outcome.cancelled() or outcome.exception() is not None:
            return
        undoing = outcome.get_loop().create_task(self._undo(outcome.result()), name="batcher-take-back")
        self._taking_back.add(undoing)
        undoing.add_done_callback(self._taking_back.discard)

    async def _undo(self, value: R) -> None:
        assert self._take_back is not None
        try:
            await call_in_thread(self._take_back, [value])
        except Exception:
            logger.exception("What a caller asked for who is gone could not be undone: %r", value)
