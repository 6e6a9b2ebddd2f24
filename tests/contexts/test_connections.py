"""Many sessions on few connections: all finish, none leaks, and too long a wait has a name."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from django.db import close_old_connections, connection, connections
from psycopg_pool import ConnectionPool, PoolTimeout

from agents.models import Thread
from agents.threads import create_thread
from contexts.database import async_pool, close_async_pool
from contexts.exceptions import UnavailableError
from contexts.factory import UserContextFactory, managed_user_context
from contexts.scope import scope
from tests.factories import make_tenant, make_user

pytestmark = pytest.mark.django_db(transaction=True)

USERS, SESSIONS, CONNECTIONS = 20, 100, 10


@pytest.fixture
def bounded_pool():
    """Bound Django's pool to ten connections and a short wait, for the time of a test."""
    pool = connection.pool
    before = (pool.min_size, pool.max_size, pool.timeout)
    pool.resize(1, CONNECTIONS)
    yield pool
    pool.resize(*before[:2])
    pool.timeout = before[2]


@pytest.fixture
def users():
    tenants = [make_tenant(f"tenant-{number}") for number in range(4)]
    return [make_user(f"user-{number}", tenants[number % 4]) for number in range(USERS)]


def test_a_hundred_sessions_of_twenty_users_share_ten_connections(bounded_pool: ConnectionPool, users):
    def work(session: int) -> set[str]:
        user = users[session % USERS]
        try:
            for step in range(3):
                with managed_user_context(UserContextFactory().for_request(user.id)) as context:
                    create_thread(context, title=f"{user.username} {session} {step}")
                    with scope(context):
                        seen = set(Thread.objects.values_list("title", flat=True))
            return {title.split()[0] for title in seen}
        finally:
            close_old_connections()

    with ThreadPoolExecutor(SESSIONS) as threads:
        seen = list(threads.map(work, range(SESSIONS)))
    assert seen == [{users[session % USERS].username} for session in range(SESSIONS)]
    assert Thread.objects.count() == SESSIONS * 3
    stats = bounded_pool.get_stats()
    assert stats["pool_size"] <= CONNECTIONS
    # this thread's own is the only one that is still out
    assert stats["pool_size"] - stats["pool_available"] <= 1


def test_a_wait_for_a_connection_that_is_too_long_is_unavailable(bounded_pool: ConnectionPool, users):
    bounded_pool.timeout = 0.2
    connection.close()
    taken = _take_all(bounded_pool)
    outcome: list[BaseException] = []

    def work() -> None:
        try:
            UserContextFactory().for_request(users[0].id)
        except UnavailableError as error:
            outcome.append(error)
        finally:
            connections.close_all()

    try:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join(30)
    finally:
        for held in taken:
            bounded_pool.putconn(held)
    assert [error.code for error in outcome] == ["unavailable"]
    with managed_user_context(UserContextFactory().for_request(users[0].id)) as context, scope(context):
        assert Thread.objects.count() == 0


def _take_all(pool: ConnectionPool) -> list[psycopg.Connection]:
    taken = []
    while True:
        try:
            taken.append(pool.getconn())
        except PoolTimeout:
            return taken


async def test_parallel_first_users_of_the_asynchronous_pool_find_it_open():
    async def use() -> int:
        pool = await async_pool()
        async with pool.connection() as pooled:
            await pooled.execute("SELECT 1")
        return id(pool)

    assert len(set(await asyncio.gather(*(use() for _ in range(5))))) == 1
    await close_async_pool()
