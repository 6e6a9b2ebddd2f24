import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from netra_site.env import Environment, read_environment

ROOT = Path(__file__).resolve().parents[2]


def test_the_example_lists_every_variable_with_its_default(monkeypatch):
    listed = dict(re.findall(r"^([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert list(listed) == list(Environment.model_fields)
    for name in Environment.model_fields:
        monkeypatch.delenv(name, raising=False)
    defaults = Environment(_env_file=None)
    for name, value in listed.items():
        monkeypatch.setenv(name, str(ROOT / value) if name == "NETRA_DATA_DIR" else value)
    assert Environment(_env_file=None) == defaults


@pytest.mark.mission_critical("P9")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NETRA_WORKER_CONCURRENCY", "many"),
        ("NETRA_MAX_UPLOAD_MB", "0"),
        ("DEBUG", "perhaps"),
        ("NETRA_LOG_LEVEL", "LOUD"),
        ("NETRA_MODEL", ""),
        ("NETRA_WORKER_CONCURRENCY", "1_0"),
        ("NETRA_LOOP_STALL_S", "1_0.5"),
        ("NETRA_WORKER_MEMORY_MB", "511"),
        ("NETRA_WORKER_MEMORY_MB", "-1"),
        ("REDIS_URL", "localhost:6379"),
        ("REDIS_URL", "http://localhost"),
    ],
)
def test_a_bad_value_is_refused_by_name(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(ImproperlyConfigured, match=name):
        read_environment()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NETRA_WORKER_MEMORY_MB", "0"),
        ("NETRA_WORKER_MEMORY_MB", "512"),
        ("REDIS_URL", ""),
        ("REDIS_URL", "redis://:a_b@localhost:6379/0"),
        ("REDIS_URL", "rediss://localhost"),
        ("REDIS_URL", "unix:///run/redis.sock"),
    ],
)
def test_a_value_within_its_bounds_is_taken(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    assert str(getattr(read_environment(), name)) == value


def test_lists_are_comma_separated(monkeypatch):
    monkeypatch.setenv("ALLOWED_HOSTS", "chat.example.org, localhost ,")
    assert read_environment().ALLOWED_HOSTS == ["chat.example.org", "localhost"]


@pytest.mark.mission_critical("P9")
@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"DEBUG": "0", "SECRET_KEY": ""}, "SECRET_KEY"),
        ({"DEBUG": "1", "NETRA_DATABASE_POOL": "x"}, "NETRA_DATABASE_POOL"),
        ({"DEBUG": "1", "REDIS_URL": "host:6379"}, "REDIS_URL: Value error, must begin with one of redis://"),
        ({"DEBUG": "1", "DATABASE_URL": "mysql://root@localhost/x"}, "PostgreSQL"),
    ],
)
def test_the_start_is_stopped_with_one_line(variables, words):
    base = {"PATH": "/usr/bin:/bin", "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}
    process = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=ROOT,
        env={**base, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert process.returncode != 0
    assert words in process.stderr
    assert len(process.stderr.strip().splitlines()) == 1
