"""What management commands have in common."""

import getpass
from argparse import ArgumentParser

from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor


class MigratedCommand(BaseCommand):
    """A command that needs the database as this version wants it; else it is refused in words."""

    requires_migrations_checks = True

    def check_migrations(self) -> None:
        """Look whether the database is migrated; raises what `require_migrated_database` raises."""
        require_migrated_database()


def require_migrated_database() -> None:
    """Look whether every migration of this version was carried out.

    Those of a later version are no obstacle: they only add.

    Raises:
        CommandError: when one was not.
        OperationalError: when the database does not answer.
    """
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise CommandError("The database is not migrated: run `manage.py migrate` first.")


def add_operator_argument(parser: ArgumentParser) -> None:
    """Declare `--operator`, which `contexts.personal_data.subjects.find_operator` understands."""
    parser.add_argument(
        "--operator",
        metavar="NAME",
        help=(
            "Who does this, for the audit, which keeps the id alone of one of Netra's own accounts; "
            "the account of the operating system unless it is given."
        ),
    )


def system_account() -> str:
    """Return the name of the operating system's account that runs this."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container may run under a number without a name
        return "unknown"
