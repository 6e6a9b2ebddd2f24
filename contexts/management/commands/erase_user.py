"""Erase what is kept of a person."""

import json
import os
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from contexts.command_line import MigratedCommand, add_operator_argument
from contexts.exceptions import NetraError
from contexts.personal_data.erasure import check_erasable, count_erasable, erase_person, list_kept
from contexts.personal_data.holders import ErasureOptions, Subject
from contexts.personal_data.subjects import find_subject


class Command(MigratedCommand):
    """`manage.py erase_user USERNAME`: any time, beside running servers; called again it goes on."""

    help = (
        "Erase a person: deactivate the account, cancel their runs, end their sign-ins, delete everything "
        "they own, and print a receipt as JSON. The audit and the totals of their organisations stay, under "
        "an id that names nobody. Files they gave to an organisation with other members stay with it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare whose, how, and the rehearsal."""
        parser.add_argument("username")
        parser.add_argument("--dry-run", action="store_true", help="Print what would go, and change nothing.")
        parser.add_argument("--yes", action="store_true", help="Do not ask.")
        parser.add_argument(
            "--with-datasets", action="store_true", help="Delete all files they uploaded, too."
        )
        parser.add_argument(
            "--force", action="store_true", help="Also when they are the only owner of an organisation."
        )
        parser.add_argument(
            "--receipt", type=Path, metavar="FILE", help="Write the receipt to this new file, too."
        )
        add_operator_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Erase, or say what would go.

        Raises:
            CommandError: when there is no such user, they are the only owner of an organisation, nobody
                confirms, or the receipt cannot be written; then nothing is changed.
        """
        try:
            subject = find_subject(options["username"])
            chosen = ErasureOptions(with_datasets=options["with_datasets"])
            if options["dry_run"]:
                self._rehearse(subject, chosen)
                return
            check_erasable(subject, force=options["force"])
            if not options["yes"]:
                _confirm(options["username"])
            with _receipt_file(options["receipt"]) as write:
                receipt = erase_person(subject, chosen, operator=options["operator"], force=options["force"])
                text = json.dumps(receipt, indent=2)
                self.stdout.write(text)
                write(text + "\n")
        except NetraError as error:
            raise CommandError(error.message) from error

    def _rehearse(self, subject: Subject, options: ErasureOptions) -> None:
        self.stdout.write("Would be deleted:")
        for kind, tables in count_erasable(subject, options).items():
            for table, count in tables.items():
                if count:
                    self.stdout.write(f"{count:>8}  {kind:<20} {table}")
        self.stdout.write("Would be kept:")
        for kept in list_kept(subject):
            self.stdout.write(f"{kept.count:>8}  {kept.what}: {kept.why}")


def _confirm(username: str) -> None:
    if not sys.stdin.isatty():
        raise CommandError("Nobody can be asked here: pass --yes to erase without a question.")
    if input(f"This cannot be undone. Type {username} to erase them: ") != username:
        raise CommandError("Nothing was erased.")


@contextmanager
def _receipt_file(path: Path | None) -> Iterator[Any]:
    """Yield what writes the receipt; that it can be written is known before anything is erased.

    Raises:
        CommandError: when there is such a file, or none can be made there.
    """
    if path is None:
        yield lambda text: None
        return
    try:
        # One that is empty was left by an erasure that was stopped.
        with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+") as file:
            if file.read(1):
                raise FileExistsError("there is such a file already")
            yield file.write
    except OSError as error:
        raise CommandError(f"The receipt cannot be written to {path}: {error}") from error
