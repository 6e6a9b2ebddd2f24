"""A role that row-level security does not bind is refused before anything is served."""

import os
import subprocess
import sys

import psycopg
import pytest
from django.db import connection

from tests.servers import ROOT

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.mission_critical("P5")]


@pytest.fixture
def superuser_url():
    """Return the URL of the tests' database for the superuser of the tests' own PostgreSQL."""
    settings = connection.settings_dict
    url = f"postgresql://postgres@/{settings['NAME']}?host={settings['HOST']}"
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        pytest.skip("the superuser of this PostgreSQL cannot be reached")
    return url


@pytest.mark.parametrize("command", [["serve", "--port", "0"], ["worker"], ["migrate", "--plan"]])
def test_a_superuser_is_refused_in_words(superuser_url, tmp_path, command):
    environment = os.environ | {"DATABASE_URL": superuser_url, "NETRA_DATA_DIR": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "manage.py", *command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert "'postgres' is a superuser or has BYPASSRLS" in ended.stderr
    assert "NOSUPERUSER NOBYPASSRLS" in ended.stderr
    assert "Traceback" not in ended.stderr
