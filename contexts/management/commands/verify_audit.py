"""Verify that the audit is what was written."""

import json
from argparse import ArgumentParser
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError

from contexts.audit_chain import ChainPlace, ChainReport, chain_ids, verify_chain
from contexts.audit_trail import chain_name, chain_of
from contexts.command_line import MigratedCommand
from contexts.exceptions import NotFoundError
from contexts.scope import system_scope


class Command(MigratedCommand):
    """`manage.py verify_audit`: any time, beside running servers; fails when a chain is broken."""

    help = "Verify every chain of the audit and name the first broken link of each."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare what to verify, and how to print it."""
        parser.add_argument("--tenant", metavar="SLUG", help="Verify this tenant's chain only (slug or id).")
        parser.add_argument("--json", action="store_true", help="Print JSON, to be kept for --noted.")
        parser.add_argument(
            "--noted",
            type=Path,
            metavar="FILE",
            help="What --json printed earlier: the chains must lead through the heads noted there.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Print what was found, a line for each chain.

        Raises:
            CommandError: when a chain is broken, or the options make no sense.
        """
        noted = _read_noted(options["noted"]) if options["noted"] else {}
        rows = []
        with system_scope("verify the audit"):
            for chain_id in _chains(options["tenant"], noted):
                report = verify_chain(chain_id, noted=noted.get(chain_id))
                row = {"tenant": chain_name(chain_id), **_as_json(report)}
                rows.append(row)
                if not options["json"]:
                    self.stdout.write(_line(row))
        broken = [row for row in rows if row["broken"]]
        if options["json"]:
            self.stdout.write(json.dumps({"intact": not broken, "chains": rows}, indent=2))
        if broken:
            raise CommandError(f"{len(broken)} of {len(rows)} audit chains broken.")


def _chains(tenant: str | None, noted: Iterable[UUID]) -> list[UUID]:
    try:
        return [chain_of(tenant)] if tenant else sorted({*chain_ids(), *noted})
    except NotFoundError as error:
        raise CommandError(error.message) from error


def _read_noted(file: Path) -> dict[UUID, ChainPlace]:
    try:
        chains = json.loads(file.read_text())["chains"]
        return {
            UUID(row["chain"]): ChainPlace(
                int(row["pruned"]) + int(row["verified"]), bytes.fromhex(row["head"])
            )
            for row in chains
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CommandError(f"{file} is not what verify_audit --json prints: {error}") from error


def _as_json(report: ChainReport) -> dict[str, Any]:
    broken = report.broken
    return {
        "chain": str(report.chain_id),
        "length": report.length,
        "pruned": report.pruned,
        "verified": report.verified,
        "erased": report.erased,
        "head": report.head.hex(),
        "broken": broken
        and {
            "number": broken.number,
            "entry_id": broken.entry_id,
            "fault": broken.fault,
            "text": broken.fault.text,
        },
    }


def _line(row: dict[str, Any]) -> str:
    name = f"{row['tenant']} ({row['chain']})"
    less = "".join(f", {what} {row[what]}" for what in ("erased", "pruned") if row[what])
    if not (broken := row["broken"]):
        return f"intact  {name}: entries {row['verified']}{less}, head {row['head']}"
    place = f" at link {broken['number']}" if broken["number"] is not None else ""
    entry = f", entry {broken['entry_id']}" if broken["entry_id"] is not None else ""
    return (
        f"BROKEN  {name}{place}{entry}: {broken['text']} "
        f"(entries verified before it {row['verified']}{less}, head there {row['head']})"
    )
