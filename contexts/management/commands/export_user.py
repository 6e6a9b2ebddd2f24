"""Write everything that is kept of a person into one archive."""

from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from contexts.command_line import MigratedCommand, add_operator_argument
from contexts.exceptions import NetraError
from contexts.personal_data.export import export_person
from contexts.personal_data.subjects import find_operator, find_subject


class Command(MigratedCommand):
    """`manage.py export_user USERNAME`: any time, beside running servers."""

    help = (
        "Write everything that Netra keeps of a person, in all organisations, into a zip file: JSON lines "
        "for each kind, files, and manifest.json with counts and digests. No passwords or tokens. Audited."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare whose, and where to."""
        parser.add_argument("username")
        parser.add_argument(
            "--output",
            type=Path,
            metavar="FILE.zip",
            help="A new file; netra-export-USER_ID.zip here unless it is given.",
        )
        add_operator_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Write it and say what is in it.

        Raises:
            CommandError: when there is no such user, or the file exists or cannot be written.
        """
        try:
            subject = find_subject(options["username"])
            destination: Path = options["output"] or Path(f"netra-export-{subject.user_id}.zip")
            manifest = export_person(
                subject, destination, operator=find_operator(options["operator"]), now=datetime.now(UTC)
            )
        except NetraError as error:
            raise CommandError(error.message) from error
        except OSError as error:
            raise CommandError(f"The export was not written: {error}") from error
        for entry in manifest["files"]:
            if entry["records"]:
                self.stdout.write(f"{entry['records']:>8}  {entry['name']}")
        for name in manifest["missing"]:
            self.stderr.write(f"missing: {name}")
        attachments = sum(entry["records"] is None for entry in manifest["files"])
        self.stdout.write(f"{attachments:>8}  files\nWritten to {destination}")
