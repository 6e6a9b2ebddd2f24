"""The bundled services are started again when they die, and are still ended with the last who uses them."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil
import pytest
import redis

from netra_site.embedded import start_postgres
from netra_site.embedded.keeping import KeptService, keep_postgres, keep_redis, keep_up
from netra_site.embedded.lifetime import let_go
from tests.netra_site.services import answers, eventually, in_use, postmaster

pytestmark = pytest.mark.integration


@asynccontextmanager
async def kept(service: KeptService) -> AsyncIterator[list[str]]:
    lines: list[str] = []
    keeping = asyncio.create_task(keep_up(service, report=lines.append, every_seconds=0.05))
    try:
        yield lines
    finally:
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping


async def until(condition: Callable[[], bool]) -> None:
    await asyncio.to_thread(eventually, condition)


def pings(url: str) -> bool:
    """Tell whether the Redis at `url` answers."""
    try:
        with redis.Redis.from_url(url) as client:
            return bool(client.ping())
    except (redis.ConnectionError, redis.TimeoutError):
        return False


def process_of(url: str) -> int:
    """Return the process id of the Redis at `url`."""
    with redis.Redis.from_url(url) as client:
        return int(client.info("server")["process_id"])


def watcher_of(folder: Path) -> psutil.Process:
    """Return the process that will stop the service of `folder`."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            command = " ".join(process.cmdline())
            if "watcher.py" in command and f'"{folder}"' in command:
                return process
    raise AssertionError("nobody watches")


async def test_a_killed_redis_and_a_killed_watcher_are_replaced(empty: Path) -> None:
    service, url = keep_redis(empty)
    try:
        async with kept(service) as lines:
            first = process_of(url)
            os.kill(first, signal.SIGKILL)
            await until(lambda: pings(url))
            assert process_of(url) != first
            assert lines == ["redis ended; starting it again"]
            watcher = watcher_of(empty)
            watcher.kill()
            await until(lambda: not watcher.is_running() and in_use(empty))
            assert watcher_of(empty).pid != watcher.pid
    finally:
        let_go(empty)
    await until(lambda: not pings(url))


async def test_a_killed_postgres_is_started_again(folder: Path) -> None:
    url = start_postgres(folder)
    try:
        async with kept(keep_postgres(folder, url)) as lines:
            first = postmaster(folder)
            os.kill(first, signal.SIGKILL)
            await until(lambda: answers(url) and postmaster(folder) != first)
            assert "postgres ended; starting it again" in lines
    finally:
        let_go(folder)


async def test_one_that_cannot_start_is_tried_again_and_its_words_are_told(empty: Path) -> None:
    service, url = keep_redis(empty)
    try:
        async with kept(service) as lines:
            # A file of another kind, where the server's folder for its log should be.
            program = psutil.Process(process_of(url))
            (empty / "server.log").unlink(missing_ok=True)
            (empty / "server.log").mkdir()
            program.kill()
            await until(lambda: any(line.startswith("redis | Redis cannot start") for line in lines))
            (empty / "server.log").rmdir()
            await until(lambda: pings(url))
    finally:
        let_go(empty)
