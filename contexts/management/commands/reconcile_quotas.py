"""Prove that the quota counters are what the ledger says."""

from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from django.core.management.base import CommandError

from contexts.command_line import MigratedCommand
from contexts.models import Tenant, User
from contexts.reconciliation import Difference, Part, find_differences, repair
from contexts.scope import system_scope

HEADINGS = ("What", "Tenant", "Member", "Resource", "Window", "Found", "Ledger")


class Command(MigratedCommand):
    """`manage.py reconcile_quotas`: any time, beside running servers."""

    help = "Compare the quota counters and reservations with the ledger, and repair what differs."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the rehearsal."""
        parser.add_argument("--check", action="store_true", help="Change nothing; fail on a difference.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print what differs, and repair it.

        Raises:
            CommandError: when something differs still.
        """
        differences = find_differences()
        if not differences:
            self.stdout.write("Every counter and reservation is what the ledger says.")
            return
        self.stdout.write(_table(differences))
        if options["check"]:
            raise CommandError(f"{_count(len(differences))} from the ledger.")
        repaired = sum(repair(difference) for difference in differences)
        self.stdout.write(f"Repaired: {repaired}; each is in the audit as quota_reconciled.")
        if left := find_differences():
            raise CommandError(f"{_count(len(left))} from the ledger still.")


def _table(differences: Sequence[Difference]) -> str:
    with system_scope("name whose quota counters differ", always_audited=False):
        tenants = dict(Tenant.objects.values_list("id", "slug"))
        ids = {difference.user_id for difference in differences if difference.user_id}
        users = dict(User.objects.filter(id__in=ids).values_list("id", "username"))
    rows = [
        HEADINGS,
        *(
            (
                _name(difference),
                tenants.get(difference.tenant_id, str(difference.tenant_id)),
                users.get(difference.user_id, str(difference.user_id)) if difference.user_id else "all",
                difference.resource,
                f"{difference.window_start:%Y-%m-%d %H:%M}",
                _amounts(difference.found),
                _amounts(difference.ledger),
            )
            for difference in differences
        ),
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _name(difference: Difference) -> str:
    if difference.part == Part.RESERVATION:
        return f"reservation {difference.reservation_id}"
    return f"{difference.part}'s counter"


def _amounts(amounts: Mapping[str, Decimal]) -> str:
    return ", ".join(f"{name} {amount.normalize():f}" for name, amount in amounts.items())


def _count(number: int) -> str:
    return "1 thing differs" if number == 1 else f"{number} things differ"
