"""The local server: the one that runs, or one started for the time of a question."""

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import IO

from django.conf import settings

from contexts.exceptions import UnavailableError
from realtime.terminal.api import server_api

DEFAULT_ADDRESS = "http://127.0.0.1:8000"
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0
_POLL_S = 0.1


@asynccontextmanager
async def local_server(token: str) -> AsyncIterator[str]:
    """Yield the address of a local server that accepts `token`, started if there is none.

    The server that runs is looked for at `PORT`, or where the one of this checkout said it is, or at 8000;
    one without a worker will do, for it keeps the question until one starts.

    Raises:
        UnavailableError: when none can be started.
    """
    url = _usual_address()
    async with server_api(url) as api:
        is_usable = await api.is_netra() and await api.accepts(token)
    if is_usable:
        yield url
        return
    async with _started_server() as url:
        yield url


def _usual_address() -> str:
    if port := os.environ.get("PORT"):
        return f"http://127.0.0.1:{port}"
    try:
        return settings.SERVER_ADDRESS_FILE.read_text().strip() or DEFAULT_ADDRESS
    except OSError:
        return DEFAULT_ADDRESS


@asynccontextmanager
async def _started_server() -> AsyncIterator[str]:
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(  # noqa: ASYNC220 - outlives this call, and is polled and stopped by hand
            [sys.executable, "manage.py", "serve", "--host", "127.0.0.1", "--port", str(port)],
            cwd=settings.BASE_DIR,
            env={**os.environ, "DATABASE_URL": settings.DATABASE_URL},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Ctrl-C is for the question; the server must live to cancel its run.
            start_new_session=True,
        )
        try:
            await _wait_until_ready(url, process, output)
            yield url
        finally:
            await asyncio.to_thread(_stop, process)


async def _wait_until_ready(url: str, process: "subprocess.Popen[bytes]", output: IO[bytes]) -> None:
    async with server_api(url) as api:
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                while process.poll() is None:
                    if await api.is_ready():
                        return
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            raise UnavailableError(
                f"The server did not start within {START_TIMEOUT_S:.0f} s. {_last_line(output)}"
            ) from None
    raise UnavailableError(f"The server could not be started. {_last_line(output)}")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _last_line(output: IO[bytes]) -> str:
    output.seek(0)
    lines = output.read().decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "It printed nothing.")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
