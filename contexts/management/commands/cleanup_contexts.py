"""Close the records of execution contexts that nobody will close any more."""

from typing import Any

from contexts.command_line import MigratedCommand
from contexts.sweeper import close_abandoned_contexts


class Command(MigratedCommand):
    """`manage.py cleanup_contexts`: after a crash, or any time; it is safe beside running servers."""

    help = "Close execution contexts that expired or whose process is dead."

    def handle(self, *args: Any, **options: Any) -> None:
        """Close them and say how many there were."""
        closed = close_abandoned_contexts(always_audited=True)
        self.stdout.write(f"{closed} abandoned execution context{'' if closed == 1 else 's'} closed.")
