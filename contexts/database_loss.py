"""A database that is away for a while, as when it is restarted: telling it from other errors, and waiting."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from django import db
from django.db import connection
from psycopg import InterfaceError, OperationalError
from psycopg.errors import QueryCanceled
from psycopg_pool import PoolClosed, PoolTimeout

from contexts.database import async_pool, call_in_thread

_LOSSES = (
    *(OperationalError, InterfaceError, PoolTimeout, PoolClosed),
    *(db.OperationalError, db.InterfaceError),
)
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 2.0
PATIENCE_SECONDS = 120.0
MAX_TRIES = 20

T = TypeVar("T")


def is_database_away(error: BaseException) -> bool:
    """Tell whether an error comes from a database that did not answer, so that the work may be done again."""
    return any(
        isinstance(cause, _LOSSES) and not isinstance(cause.__cause__ or cause, QueryCanceled)
        for cause in _causes(error)
    )


async def wait_for_database(*, at_most: float) -> bool:
    """Return true as soon as the database answers again, false when it has not within `at_most` seconds.

    Connections that broke meanwhile are replaced then.
    """
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + at_most
    pause = FIRST_PAUSE_SECONDS
    while not await call_in_thread(_answers):
        if loop.time() + pause > give_up_at:
            return False
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
    pool = await async_pool()
    await pool.check()
    return True


async def retry_while_away(ask: Callable[[], Awaitable[T]]) -> T:
    """Return what `ask` returns; while the database is away it is waited for, and asked again.

    After 120 s without an answer, or 20 that broke off, the error is raised.
    """
    for _ in range(MAX_TRIES):
        try:
            return await ask()
        except Exception as error:
            if not is_database_away(error) or not await wait_for_database(at_most=PATIENCE_SECONDS):
                raise
            await asyncio.sleep(FIRST_PAUSE_SECONDS)
    return await ask()


def _answers() -> bool:
    try:
        pool = connection.pool  # type: ignore[attr-defined] # of Django's PostgreSQL backend
        if pool is not None:
            pool.check()
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except _LOSSES:
        return False
    return True


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, what it is made of, and what it was raised from."""
    pending, seen = [error], set[int]()
    while pending:
        cause = pending.pop()
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        if isinstance(cause, BaseExceptionGroup):
            pending += cause.exceptions
        pending += [each for each in (cause.__cause__,) if each is not None]
