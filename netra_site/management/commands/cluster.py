"""A local scale-out: PostgreSQL, Redis, two web processes and two workers, ended together."""

import asyncio
import signal
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand

from contexts.tasks import end_task
from netra_site.embedded.keeping import KeptService, keep_postgres, keep_redis, keep_up
from netra_site.env import BASE_DIR
from netra_site.supervisor import Supervisor
from netra_site.undertaker import STOP_SECONDS


class Command(BaseCommand):
    """`manage.py cluster`: what a cluster runs, on one machine."""

    help = "Run Redis, two web processes on PORT and PORT+1, and two workers; Ctrl-C ends them all."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare where to listen."""
        parser.add_argument(
            "--host", default="127.0.0.1", help="Address to listen on (default: %(default)s)."
        )
        parser.add_argument("--port", type=int, default=8000, help="First port (default: %(default)s).")

    def handle(self, *args: Any, **options: Any) -> None:
        """Prepare the database and Redis, then keep all the processes running, whichever dies.

        Raises:
            UnavailableError: a process does not start, for instance since its port is in use.
        """
        services: list[KeptService] = []
        if not settings.ENVIRONMENT.DATABASE_URL:
            services.append(keep_postgres(settings.DATA_DIR / "postgres", settings.DATABASE_URL))
        redis_url = settings.ENVIRONMENT.REDIS_URL
        if not redis_url:
            redis, redis_url = keep_redis(settings.DATA_DIR / "redis")
            services.append(redis)
        call_command("migrate", interactive=False, verbosity=0)
        if settings.DEBUG:
            call_command("seed_demo", stdout=self.stdout)
        manage = [sys.executable, str(BASE_DIR / "manage.py")]
        ports = [options["port"], options["port"] + 1]
        web = [*manage, "serve", "--no-worker", "--host", options["host"], "--port"]
        supervisor = Supervisor(
            {f"web-{number}": [*web, str(port)] for number, port in enumerate(ports, 1)}
            | {f"worker-{number}": [*manage, "worker"] for number in (1, 2)},
            environment={"REDIS_URL": redis_url},
            report=self._report,
            stop_seconds=settings.ENVIRONMENT.NETRA_STOP_GRACE_S + STOP_SECONDS,
        )
        self._report("Two web processes, two workers and Redis; Ctrl-C ends them all.")
        asyncio.run(self._run_until_signalled(supervisor, services))

    def _report(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()

    async def _run_until_signalled(self, supervisor: Supervisor, services: list[KeptService]) -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        keepers = [
            asyncio.create_task(keep_up(service, report=self._report), name=f"keep-{service.name}")
            for service in services
        ]
        try:
            await supervisor.run(stop)
        finally:
            for keeper in keepers:
                await end_task(keeper)
