"""Delete quota counters and ledger entries of windows that are long over."""

from typing import Any

from contexts.command_line import MigratedCommand
from contexts.quota_retention import prune_quotas


class Command(MigratedCommand):
    """`manage.py prune_quotas`: any time, beside running servers; what is left still adds up."""

    help = "Delete quota counters with their ledger: minutes after a day, days and months after 400 days."

    def handle(self, *args: Any, **options: Any) -> None:
        """Delete them and say how many."""
        pruned = prune_quotas()
        self.stdout.write(f"Counters deleted: {pruned.counters}; ledger entries deleted: {pruned.entries}")
