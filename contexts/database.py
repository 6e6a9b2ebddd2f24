"""Database access of hot paths: a bounded pool of asynchronous connections per event loop."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextvars import Context
from typing import Any, ParamSpec, TypeVar, cast
from weakref import WeakKeyDictionary

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import close_old_connections, connection
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

P = ParamSpec("P")
R = TypeVar("R")

Pool = AsyncConnectionPool[AsyncConnection[Any]]

_pools: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Task[Pool]] = WeakKeyDictionary()


async def async_pool() -> Pool:
    """Return the running loop's pool of autocommitting connections, opened at first use.

    A wait of more than 10 s for a connection raises `psycopg_pool.PoolTimeout`.
    """
    loop = asyncio.get_running_loop()
    opening = _pools.get(loop)
    if opening is None:
        # Its workers outlive whatever context is current now, and must not keep it.
        opening = _pools[loop] = loop.create_task(_open_pool(), name="open-pool", context=Context())
    return opening.result() if opening.done() else await asyncio.shield(opening)


async def close_async_pool() -> None:
    """Close the running loop's pool, if it was opened."""
    opening = _pools.pop(asyncio.get_running_loop(), None)
    if opening is not None:
        await (await opening).close()


def connection_parameters() -> dict[str, Any]:
    """Return what psycopg needs to connect as Django does, without what is Django's own; autocommitting."""
    parameters = connection.get_connection_params()
    for name in ("cursor_factory", "context"):
        parameters.pop(name, None)
    return {**parameters, "autocommit": True}


async def _open_pool() -> Pool:
    pool: Pool = AsyncConnectionPool(
        kwargs=connection_parameters(),
        min_size=1,
        max_size=settings.ASYNC_POOL_SIZE,
        timeout=10,
        open=False,
        name=f"netra-async-{id(asyncio.get_running_loop())}",
    )
    await pool.open()
    return pool


async def call_in_thread(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a synchronous service from a coroutine, in a thread of its own with its own connection."""
    return await call_in_executor(None, function, *args, **kwargs)


async def call_in_executor(
    executor: Executor | None, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs
) -> R:
    """Call a synchronous service as `call_in_thread` does, in a thread of `executor`; none: the loop's own.

    When the caller is cancelled, a call that waits for a thread is not made, and one that was begun goes on.
    """

    def call() -> R:
        close_old_connections()
        try:
            return function(*args, **kwargs)
        finally:
            close_old_connections()

    # Any executor will do, though the type names one kind.
    threads = cast(ThreadPoolExecutor | None, executor)
    return await sync_to_async(call, thread_sensitive=False, executor=threads)()


def call_from_anywhere(
    function: Callable[P, None], *args: P.args, **kwargs: P.kwargs
) -> Awaitable[None] | None:
    """Call a synchronous service from whichever kind of code is running.

    In an event loop it is `call_in_thread`, returned to be awaited; elsewhere it is done on return.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        function(*args, **kwargs)
        return None
    return call_in_thread(function, *args, **kwargs)
