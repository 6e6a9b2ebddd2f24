"""A database that is not migrated is told in one line, before anything is done."""

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db.migrations.recorder import MigrationRecorder

from contexts.command_line import require_migrated_database
from tests.servers import ROOT, database_url

WORDS = "The database is not migrated: run `manage.py migrate` first."


@pytest.mark.django_db
def test_what_one_migration_lacks_is_refused_and_what_a_later_version_added_is_not() -> None:
    applied = MigrationRecorder.Migration.objects
    applied.create(app="agents", name="9999_of_a_later_version")
    require_migrated_database()
    applied.filter(app="contexts").order_by("name").last().delete()
    with pytest.raises(CommandError, match=WORDS):
        call_command("verify_audit")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("command", [["runs"], ["worker"], ["serve", "--port", "0"]], ids=" ".join)
def test_an_empty_database_is_told_in_one_line(command: list[str], tmp_path: Path) -> None:
    address = database_url("netra_unmigrated")
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    ended = subprocess.run(
        [sys.executable, "manage.py", *command],
        cwd=ROOT,
        env=os.environ | {"DATABASE_URL": address, "NETRA_DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", f"CommandError: {WORDS}\n")
