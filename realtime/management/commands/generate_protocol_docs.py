"""Write the documentation of the socket from the definition of its frames."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from realtime.protocol_docs import render_markdown, render_schema


class Command(BaseCommand):
    """`manage.py generate_protocol_docs`: `docs/protocol.md` and `docs/protocol.schema.json`."""

    help = "Write docs/protocol.md and docs/protocol.schema.json."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare where to write, and whether to check only."""
        parser.add_argument("--folder", type=Path, default=Path(settings.BASE_DIR) / "docs")
        parser.add_argument("--check", action="store_true", help="Write nothing; fail when a file is stale.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Write both files, or check them.

        Raises:
            CommandError: with `--check`, naming a file that is missing or stale.
        """
        folder: Path = options["folder"]
        for name, text in (("protocol.md", render_markdown()), ("protocol.schema.json", render_schema())):
            file = folder / name
            if not options["check"]:
                folder.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
                self.stdout.write(f"{file} written")
            elif not file.is_file() or file.read_text(encoding="utf-8") != text:
                raise CommandError(f"{file} is stale; run `python manage.py generate_protocol_docs`.")
