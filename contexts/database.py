"""Database access of hot paths: a bounded pool of asynchronous connections per event loop."""

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Any, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import close_old_connections, connection
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

P = ParamSpec("P")
R = TypeVar("R")

Pool = AsyncConnectionPool[AsyncConnection[Any]]

_pools: WeakKeyDictionary[asyncio.AbstractEventLoop, Pool] = WeakKeyDictionary()


async def async_pool() -> Pool:
    """Return the running loop's pool of autocommitting connections, opened at first use.

    A wait of more than 10 s for a connection raises `psycopg_pool.PoolTimeout`.
    """
    loop = asyncio.get_running_loop()
    pool = _pools.get(loop)
    if pool is None:
        parameters = connection.get_connection_params()
        for name in ("cursor_factory", "context"):
            parameters.pop(name, None)
        pool = AsyncConnectionPool(
            kwargs={**parameters, "autocommit": True},
            min_size=1,
            max_size=settings.ASYNC_POOL_SIZE,
            timeout=10,
            open=False,
            name=f"netra-async-{id(loop)}",
        )
        _pools[loop] = pool
        # Its workers outlive whatever context is current now, and must not keep it.
        await asyncio.create_task(pool.open(), context=Context())
    return pool


async def close_async_pool() -> None:
    """Close the running loop's pool, if it was opened."""
    pool = _pools.pop(asyncio.get_running_loop(), None)
    if pool is not None:
        await pool.close()


async def call_in_thread(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a synchronous service from a coroutine, in a thread of its own with its own connection."""

    def call() -> R:
        close_old_connections()
        try:
            return function(*args, **kwargs)
        finally:
            close_old_connections()

    return await sync_to_async(call, thread_sensitive=False)()
