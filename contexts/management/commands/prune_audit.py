"""Delete what the audit need not keep any longer."""

from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.management.base import CommandError

from contexts.audit_chain import chain_ids
from contexts.audit_retention import count_prunable, prune_chain
from contexts.audit_trail import chain_name, chain_of
from contexts.command_line import MigratedCommand
from contexts.exceptions import ConflictError, NotFoundError
from contexts.scope import system_scope


class Command(MigratedCommand):
    """`manage.py prune_audit`: any time, beside running servers; what is left can be verified."""

    help = "Delete the oldest audit entries, up to a moment; this is audited itself."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare up to when, whose, and the rehearsal."""
        until = parser.add_mutually_exclusive_group(required=True)
        until.add_argument(
            "--before",
            type=_moment,
            metavar="DATE",
            help="ISO 8601 date or time; UTC unless it says otherwise.",
        )
        until.add_argument("--older-than-days", type=_days, metavar="N", help="Whole days, at least 1.")
        parser.add_argument("--tenant", metavar="SLUG", help="Prune this tenant's chain only (slug or id).")
        parser.add_argument("--dry-run", action="store_true", help="Count only.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Prune each chain and say how much.

        Raises:
            CommandError: when the moment has not come yet, or a chain is broken; the others are pruned.
        """
        now = datetime.now(UTC)
        before = options["before"] or now - timedelta(days=options["older_than_days"])
        if before > now:
            raise CommandError(f"{before.isoformat()} has not come yet.")
        with system_scope("prune the audit: choose chains"):
            try:
                chains = [chain_of(options["tenant"])] if options["tenant"] else chain_ids()
            except NotFoundError as error:
                raise CommandError(error.message) from error
            names = {chain_id: chain_name(chain_id) for chain_id in chains}
            counts = {chain_id: count_prunable(chain_id, before=before) for chain_id in chains}
        if options["dry_run"]:
            for chain_id, count in counts.items():
                self.stdout.write(f"{names[chain_id]} ({chain_id}): entries that would be pruned: {count}")
            return
        refused = []
        for chain_id, count in counts.items():
            try:
                pruned = prune_chain(chain_id, before=before) if count else 0
            except ConflictError as error:
                refused.append(error.message)
            else:
                self.stdout.write(f"{names[chain_id]} ({chain_id}): entries pruned: {pruned}")
        if refused:
            raise CommandError(" ".join(refused))


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ArgumentTypeError(f"{text!r} is no ISO 8601 date or time") from None


def _days(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text[:6]) <= 36_500:
        raise ArgumentTypeError(f"{text!r} is no number of days from 1 to 36500")
    return int(text)
