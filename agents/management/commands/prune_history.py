"""Delete the history that need not be kept any longer."""

from argparse import ArgumentParser
from typing import Any

from agents.retention import count_prunable_history, prune_history
from contexts.command_line import MigratedCommand


class Command(MigratedCommand):
    """`manage.py prune_history`: any time, beside running servers; workers do it every night."""

    help = (
        "Delete what is older than the retention_days of its user: runs that ended before that, with their "
        "events, tool calls and charts; then conversations that are left without a run and had no message "
        "since. A conversation that is still used keeps its messages. May be stopped and called again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the rehearsal."""
        parser.add_argument("--dry-run", action="store_true", help="Count only.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Delete it and say how much."""
        rehearses = options["dry_run"]
        history = count_prunable_history() if rehearses else prune_history()
        did = "that would be deleted" if rehearses else "deleted"
        self.stdout.write(f"Runs {did}: {history.runs}\nConversations {did}: {history.conversations}")
