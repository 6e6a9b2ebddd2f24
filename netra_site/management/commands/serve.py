"""Serve the web and, in the same process and event loop, work on runs."""

import asyncio
import errno
import gc
import socket
from argparse import ArgumentParser
from typing import Any

import uvicorn
import uvloop
from django.conf import settings
from django.core.checks import Tags
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS

from agents.event_writer import close_event_writer
from agents.worker import run_worker
from contexts.command_line import require_migrated_database
from contexts.database import close_async_pool
from contexts.garbage import settle_garbage_collection
from contexts.sweeper import sweep_contexts
from netra_site.web_server import WebServer, web_server_options
from realtime.quota_reports import flush_quota_reports

UNTAKEN_SECONDS = 30
"""How long a client may leave what was sent to it untaken."""


class Command(BaseCommand):
    """`manage.py serve`: one process for everything, or a web process beside workers."""

    help = "Serve the web and work on runs, in one process."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare where to listen and what else to do."""
        parser.add_argument("--host", default="127.0.0.1", help="Address (default: %(default)s).")
        parser.add_argument("--port", type=int, default=8000, help="Port to listen on; 0 takes a free one.")
        parser.add_argument("--no-worker", action="store_true", help="Leave runs to `manage.py worker`.")
        parser.add_argument("--migrate", action="store_true", help="Bring the database up to date first.")
        parser.add_argument("--seed-demo", action="store_true", help="Add the demo accounts first.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Listen first, so that a port in use is told before anything else is done.

        Raises:
            CommandError: when the address cannot be listened on, or the database or its role is not fit.
        """
        listener = _listen(options["host"], options["port"])
        self.check(tags=[Tags.database], databases=[DEFAULT_DB_ALIAS])
        if options["migrate"]:
            call_command("migrate", interactive=False, verbosity=0)
        require_migrated_database()
        if options["seed_demo"]:
            call_command("seed_demo", stdout=self.stdout)
        listener.listen(2_048)  # whoever comes from now on waits for the server instead of being refused
        host, port = listener.getsockname()[:2]
        shown = "localhost" if host == "127.0.0.1" else host
        self.stdout.write(f"Netra is at http://{shown}:{port}/")
        if options["seed_demo"]:
            self.stdout.write("Sign in as alice, bob, carol or admin, password netra-demo. Ctrl-C stops.")
        self.stdout.flush()
        address_file = settings.SERVER_ADDRESS_FILE
        address_file.parent.mkdir(parents=True, exist_ok=True)
        address_file.write_text(f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}\n")  # noqa: S104
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_serve(listener, with_worker=not options["no_worker"]))
        finally:
            gc.unfreeze()
            address_file.unlink(missing_ok=True)


async def _serve(listener: socket.socket, *, with_worker: bool) -> None:
    config = uvicorn.Config("netra_site.asgi:application", **web_server_options())
    config.load()
    settle_garbage_collection()
    loop, asked_to_stop = asyncio.get_running_loop(), asyncio.Event()
    server = WebServer(config, on_exit=lambda: loop.call_soon_threadsafe(asked_to_stop.set))
    serving = asyncio.create_task(server.serve([listener]), name="serve")
    stopping = asyncio.create_task(asked_to_stop.wait(), name="stop")
    tasks: list[asyncio.Task[Any]] = [serving, stopping]
    if with_worker:
        tasks.append(asyncio.create_task(run_worker(), name="worker"))
    else:
        tasks.append(asyncio.create_task(sweep_contexts(), name="sweep-contexts"))
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        server.should_exit = True
        for task in tasks[1:]:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        await flush_quota_reports()
        await close_event_writer()
        await close_async_pool()
    for result in results:
        if isinstance(result, Exception):
            raise result


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OverflowError as error:
        raise CommandError(f"{port} is no port; choose one from 0 to 65535.") from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise CommandError(
                f"Port {port} is in use; choose another (--port, or PORT= with make)."
            ) from error
        raise CommandError(f"{host}:{port} cannot be listened on: {error.strerror}.") from error
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        # Whoever takes nothing for so long is let go of, also after their socket was closed; inherited.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1_000 * UNTAKEN_SECONDS)
    listener.set_inheritable(True)
    return listener
