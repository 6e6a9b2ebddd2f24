"""Refund the reservations of whoever died without releasing them."""

from typing import Any

from contexts.command_line import MigratedCommand
from contexts.quotas import expire_quotas
from contexts.scope import system_scope


class Command(MigratedCommand):
    """`manage.py release_expired_leases`: after a crash, or any time, beside running servers."""

    help = "Give back what expired reservations of quotas still hold."

    def handle(self, *args: Any, **options: Any) -> None:
        """Give it back and say of how many."""
        with system_scope("release expired leases"):
            released = expire_quotas()
        self.stdout.write(f"{released} expired reservation{'' if released == 1 else 's'} released.")
