"""Erase what is kept of a person."""

import json
import os
import sys
from argparse import ArgumentParser
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError

from contexts.command_line import MigratedCommand, add_operator_argument
from contexts.exceptions import NetraError
from contexts.personal_data.erasure import check_erasable, count_erasable, erase_person, list_kept
from contexts.personal_data.holders import ErasureOptions, Subject
from contexts.personal_data.receipt import Receipt, find_receipt
from contexts.personal_data.receipt_files import ReceiptFile, receipt_file
from contexts.personal_data.subjects import find_operator, find_subject


class Command(MigratedCommand):
    """`manage.py erase_user USERNAME`: any time, beside running servers; called again it goes on."""

    help = (
        "Erase a person: deactivate the account, cancel their runs, end their sign-ins, delete everything "
        "they own, and print a receipt as JSON. The audit and the totals of their organisations stay, under "
        "an id that names nobody. Files they gave to an organisation with other members stay with it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare whose, how, and the rehearsal."""
        whose = parser.add_mutually_exclusive_group(required=True)
        whose.add_argument("username", nargs="?")
        whose.add_argument(
            "--receipt-of",
            type=UUID,
            metavar="USER_ID",
            help="Print the receipt of an erasure that was finished again, from the audit; erase nothing.",
        )
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
                confirms, or no receipt could be written; then nothing is changed. Once somebody is erased
                there is none: what fails then is told, and `--receipt-of` gives the receipt.
        """
        try:
            if options["receipt_of"]:
                self._print_again(options["receipt_of"], options["receipt"])
                return
            subject = find_subject(options["username"])
            chosen = ErasureOptions(with_datasets=options["with_datasets"])
            if options["dry_run"]:
                self._rehearse(subject, chosen)
                return
            check_erasable(subject, force=options["force"])
            if not options["yes"]:
                _confirm(options["username"])
            operator = find_operator(options["operator"])
            with ExitStack() as stack:
                file = _opened(options["receipt"], stack)
                receipt = erase_person(subject, chosen, operator=operator, force=options["force"])
                self._hand_over(receipt, file)
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

    def _print_again(self, user_id: UUID, path: Path | None) -> None:
        with ExitStack() as stack:
            file = _opened(path, stack)
            receipt, is_as_noted = find_receipt(user_id)
            self._hand_over(receipt, file)
        if not is_as_noted:
            self._warn("This is what the audit still has; its digest is not that of the receipt at the time.")

    def _hand_over(self, receipt: Receipt, file: ReceiptFile | None) -> None:
        """Write the receipt wherever it can be written; that it cannot takes no erasure back."""
        text = json.dumps(receipt, indent=2)
        again = f"`erase_user --receipt-of {receipt['user_id']}` gives it again."
        if file is not None:
            try:
                file.write(text + "\n")
            except OSError as error:
                self._warn(f"The receipt is not in its file: {error}; {again}")
        try:
            self.stdout.write(text)
            self.stdout.flush()
        except OSError as error:
            _let_go(self.stdout)
            if not isinstance(error, BrokenPipeError):
                self._warn(f"The receipt was not printed: {error}; {again}")

    def _warn(self, text: str) -> None:
        try:
            self.stderr.write(text)
            self.stderr.flush()
        except OSError:
            _let_go(self.stderr)


def _opened(path: Path | None, stack: ExitStack) -> ReceiptFile | None:
    """Open the receipt's file, if there is to be one, for as long as `stack`."""
    try:
        return None if path is None else stack.enter_context(receipt_file(path))
    except OSError as error:
        raise CommandError(f"The receipt cannot be written to {path}: {error}") from error


def _let_go(stream: Any) -> None:
    """Have what is left in the buffer of a stream go nowhere, as Python would fail at its end."""
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, stream.fileno())
        finally:
            os.close(nowhere)


def _confirm(username: str) -> None:
    if not sys.stdin.isatty():
        raise CommandError("Nobody can be asked here: pass --yes to erase without a question.")
    if input(f"This cannot be undone. Type {username} to erase them: ") != username:
        raise CommandError("Nothing was erased.")
