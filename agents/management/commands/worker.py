"""Work on runs in a process of its own."""

import asyncio
import gc
from argparse import ArgumentParser
from typing import Any

import uvloop
from django.core.checks import Tags
from django.core.management.base import BaseCommand
from django.db import DEFAULT_DB_ALIAS

from agents.worker import run_worker
from contexts.command_line import require_migrated_database
from contexts.garbage import settle_garbage_collection


class Command(BaseCommand):
    """`manage.py worker`: any number of these may run, on any number of hosts."""

    help = "Work on runs until SIGINT or SIGTERM."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare how many runs are carried out at once."""
        parser.add_argument(
            "--concurrency", type=int, help="Runs at once (default: NETRA_WORKER_CONCURRENCY)."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Work until told to stop."""
        self.check(tags=[Tags.database], databases=[DEFAULT_DB_ALIAS])
        require_migrated_database()
        settle_garbage_collection()
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(run_worker(concurrency=options["concurrency"], handle_signals=True))
        finally:
            gc.unfreeze()
