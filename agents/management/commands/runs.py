"""Look after runs: which are open, failed or stuck; cancel them, ask again, put right what was lost."""

import json
import re
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError
from django.db.models import QuerySet

from agents.models import Run
from agents.models.runs import OPEN_STATUSES, WITHOUT_ANSWER
from agents.operations import cancel_run_as_operator, retry_run_as_operator
from agents.stuck_runs import StuckRun, heal_runs, stuck_runs
from contexts.command_line import MigratedCommand
from contexts.exceptions import NetraError
from contexts.models import Tenant, User
from contexts.scope import system_scope

MOST = 1_000
"""How many runs are listed."""

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


class Command(MigratedCommand):
    """`manage.py runs`: any time, beside running servers; lists the open runs unless told otherwise."""

    help = "List open, failed or stuck runs of all tenants; cancel one, ask one again, heal what is stuck."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare what to list, or what to do."""
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--stuck", action="store_true", help="List the runs that do not get on, and why.")
        what.add_argument("--failed", action="store_true", help="List runs that failed or were cancelled.")
        what.add_argument("--cancel", type=_run_id, metavar="ID", help="Have a run stopped.")
        what.add_argument(
            "--retry", type=_run_id, metavar="ID", help="Ask again what a failed or cancelled run was asked."
        )
        what.add_argument(
            "--heal", action="store_true", help="Queue the runs again whose job or worker was lost."
        )
        parser.add_argument("--tenant", metavar="SLUG", help="List this tenant's only.")
        parser.add_argument("--user", metavar="USERNAME", help="List this user's only.")
        parser.add_argument(
            "--since",
            type=_age,
            metavar="AGE",
            help="With --failed: how far back, such as 30m, 1h (default), 7d.",
        )
        parser.add_argument("--reason", default="", help="With --cancel and --retry: why, for the audit.")
        parser.add_argument("--json", action="store_true", help="Print lists as JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do what was asked.

        Raises:
            CommandError: for what does not exist, and when it is refused, saying why.
        """
        if options["since"] and not options["failed"]:
            raise CommandError("--since is for --failed.")
        try:
            self.stdout.write(self._answer(options))
        except NetraError as error:
            raise CommandError(error.message) from error

    def _answer(self, options: dict[str, Any]) -> str:
        reason = options["reason"]
        if (run_id := options["cancel"]) is not None:
            cancel_run_as_operator(run_id, operator=None, reason=reason)
            return f"Run {run_id} is cancelled, or will be in a moment if a worker has it."
        if (run_id := options["retry"]) is not None:
            started = retry_run_as_operator(run_id, operator=None, reason=reason)
            return f"Run {run_id} was asked again as {started.run_id}."
        if options["heal"]:
            count = heal_runs()
            return f"{count} {'run' if count == 1 else 'runs'} queued again."
        with system_scope("list runs", always_audited=False):
            rows = _listed(options)
        if options["json"]:
            return json.dumps({"runs": rows}, indent=2)
        more = [f"Only the first {MOST:,} are listed."] if len(rows) == MOST else []
        return "\n".join([*_table(rows), *more]) if rows else "None."


def _listed(options: dict[str, Any]) -> list[dict[str, Any]]:
    tenant, user = options["tenant"], options["user"]
    if tenant is not None and not Tenant.objects.filter(slug=tenant).exists():
        raise CommandError(f"There is no tenant {tenant!r}.")
    if user is not None and not User.objects.filter(username=user).exists():
        raise CommandError(f"There is no user {user!r}.")
    if options["stuck"]:
        found: Iterable[StuckRun] = stuck_runs()
        if tenant is not None:
            found = [stuck for stuck in found if stuck.tenant == tenant]
        if user is not None:
            found = [stuck for stuck in found if stuck.username == user]
        return [_as_stuck(stuck) for stuck in found][:MOST]
    runs = Run.objects.select_related("tenant", "user").defer("text", "error_message")
    if options["failed"]:
        since = datetime.now(UTC) - (options["since"] or timedelta(hours=1))
        runs = runs.filter(status__in=WITHOUT_ANSWER, created_at__gte=since).order_by("-created_at", "-id")
    else:
        runs = runs.filter(status__in=OPEN_STATUSES).order_by("created_at", "id")
    return [_as_run(run) for run in _of(runs, tenant, user)[:MOST]]


def _of(runs: QuerySet[Run], tenant: str | None, user: str | None) -> QuerySet[Run]:
    if tenant is not None:
        runs = runs.filter(tenant__slug=tenant)
    return runs if user is None else runs.filter(user__username=user)


def _as_run(run: Run) -> dict[str, Any]:
    return {
        "run_id": str(run.id),
        "tenant": run.tenant.slug,
        "user": run.user.username,
        "status": run.status,
        "attempt": run.attempt,
        "asked_at": _moment(run.created_at),
        "error_code": run.error_code or None,
    }


def _as_stuck(stuck: StuckRun) -> dict[str, Any]:
    return {
        "run_id": str(stuck.run_id),
        "tenant": stuck.tenant,
        "user": stuck.username,
        "status": stuck.status,
        "attempt": stuck.attempt,
        "since": _moment(stuck.since),
        "cause": str(stuck.cause),
        "why": stuck.why,
        "what_to_do": stuck.remedy,
    }


def _table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return rows in columns as wide as what is in them."""
    cells = [[name.replace("_", " ") for name in rows[0]]]
    cells += [["–" if value is None else str(value) for value in row.values()] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(map(str.ljust, line, widths)).rstrip() for line in cells]


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _run_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no id of a run") from None


def _age(text: str) -> timedelta:
    match = re.fullmatch(r"([1-9][0-9]{0,3})([mhd])", text, re.ASCII)
    if match is None:
        raise ArgumentTypeError(f"{text!r} is no age such as 30m, 1h or 7d")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})
