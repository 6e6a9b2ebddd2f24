"""One call of a synchronous service for what many coroutines ask at the same moment."""

import asyncio
from collections.abc import Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from django.db import InterfaceError, OperationalError
from psycopg_pool import PoolTimeout

from contexts.database import call_in_thread
from contexts.exceptions import UnavailableError

T = TypeVar("T")
R = TypeVar("R")

Serve = Callable[[Sequence[T]], Sequence[R]]
"""Returns an outcome for each of many requests, in their order; synchronous."""
_NO_DATABASE = (OperationalError, InterfaceError, PoolTimeout, UnavailableError)


class Batcher(Generic[T, R]):
    """Serves requests in batches: while one is under way the next collects, so a lone one waits for nothing.

    When a batch fails as a whole, each of its requests is served by itself, unless the database is away.
    """

    def __init__(self, serve: Serve[T, R], *, size: int) -> None:
        """Serve at most `size` requests by one call of `serve`, which is made in a thread."""
        self._serve = serve
        self._size = size
        self._queues: WeakKeyDictionary[asyncio.AbstractEventLoop, _Queue[T, R]] = WeakKeyDictionary()

    async def __call__(self, request: T) -> R:
        """Return the outcome of `request`, or raise what `serve` raises."""
        loop = asyncio.get_running_loop()
        queue = self._queues.setdefault(loop, _Queue(self._serve, self._size))
        return await queue.add(request)


class _Queue(Generic[T, R]):
    """What waits in one event loop."""

    def __init__(self, serve: Serve[T, R], size: int) -> None:
        self._serve = serve
        self._size = size
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._working: asyncio.Task[None] | None = None

    def add(self, request: T) -> "asyncio.Future[R]":
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[R] = loop.create_future()
        self._waiting.append((request, outcome))
        if self._working is None:
            self._working = loop.create_task(self._work(), name="batcher", context=Context())
        return outcome

    async def _work(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[: self._size], self._waiting[self._size :]
                await self._serve_batch(batch)
        finally:
            self._working = None

    async def _serve_batch(self, batch: list[tuple[T, "asyncio.Future[R]"]]) -> None:
        try:
            outcomes = await call_in_thread(self._serve, [request for request, _ in batch])
        except Exception as error:  # noqa: BLE001 - whatever it is, whoever asked hears of it
            if len(batch) > 1 and not isinstance(error, _NO_DATABASE):
                for one in batch:
                    await self._serve_batch([one])
                return
            for _, outcome in batch:
                if not outcome.done():
                    outcome.set_exception(error)
            return
        for (_, outcome), value in zip(batch, outcomes, strict=True):
            if not outcome.done():
                outcome.set_result(value)
