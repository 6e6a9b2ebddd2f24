"""Delete the runs that need not be kept any longer."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from agents.retention import count_prunable_runs, prune_runs


class Command(BaseCommand):
    """`manage.py prune_runs`: any time, beside running servers."""

    help = "Delete runs, with their events and charts, that ended longer ago than retention_days."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the rehearsal."""
        parser.add_argument("--dry-run", action="store_true", help="Count only.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Delete them and say how many."""
        if options["dry_run"]:
            self.stdout.write(f"Runs that would be deleted: {count_prunable_runs()}")
        else:
            self.stdout.write(f"Runs deleted: {prune_runs()}")
