"""Real server processes for tests: started on a free port, ended with the test whatever happens."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psycopg
from django.conf import settings

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 60
TEMPLATE = "netra_migrated"


@dataclass
class ServerProcess:
    """A running `manage.py serve` with the demo accounts."""

    url: str
    database_url: str
    process: subprocess.Popen[str]
    environment: dict[str, str]
    lines: list[str] = field(default_factory=list)

    @property
    def output(self) -> str:
        """Return what the server has printed so far."""
        return "".join(self.lines)

    def database(self) -> psycopg.Connection:
        """Return a connection to the server's own database."""
        return psycopg.connect(self.database_url, autocommit=True, options="-c netra.scope=system")

    def token(self, username: str, password: str = "netra-demo") -> str:
        """Return an access token of a demo account."""
        answer = httpx.post(
            f"{self.url}/api/v1/auth/token", json={"username": username, "password": password}, timeout=30
        )
        answer.raise_for_status()
        return str(answer.json()["access"])

    def client(self, username: str) -> httpx.Client:
        """Return an HTTP client signed in by token."""
        return httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {self.token(username)}"}, timeout=30
        )


def database_url(name: str) -> str:
    """Return the URL of a database on the tests' own PostgreSQL, created anew.

    It is as one that was just migrated where `keep_as_template` has kept one, else empty.
    """
    with _maintenance() as connection:
        is_kept = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [TEMPLATE]).fetchone()
    _create(name, template=TEMPLATE if is_kept else "template1")
    parameters = settings.DATABASES["default"]
    secret = f":{parameters['PASSWORD']}" if parameters["PASSWORD"] else ""
    port = f"&port={parameters['PORT']}" if parameters["PORT"] else ""
    return f"postgresql://{parameters['USER']}{secret}@/{name}?host={parameters['HOST']}{port}"


def keep_as_template(name: str) -> None:
    """Copy a database that nobody is connected to; each `database_url` is a copy of it from now on."""
    _create(TEMPLATE, template=name)


def wait_until_unused(name: str) -> None:
    """Wait until no session uses a database any more, and say whose still does after a while."""
    give_up_at = time.monotonic() + START_SECONDS
    with _maintenance() as rows:
        while sessions := rows.execute(
            "SELECT pid, application_name, state, query FROM pg_stat_activity WHERE datname = %s", [name]
        ).fetchall():
            assert time.monotonic() < give_up_at, f"{name} is still used: {sessions}"
            time.sleep(0.05)


def _create(name: str, *, template: str) -> None:
    with _maintenance() as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')


def _maintenance() -> psycopg.Connection:
    parameters = settings.DATABASES["default"]
    return psycopg.connect(
        host=parameters["HOST"],
        port=parameters["PORT"] or 5432,
        user=parameters["USER"],
        dbname="postgres",
        password=parameters["PASSWORD"] or None,
        autocommit=True,
    )


@contextmanager
def serve(
    database: str, folder: Path, *arguments: str, wait_for: str = "/readyz", **variables: str
) -> Iterator[ServerProcess]:
    """Run a server on the database URL `database` with its files in `folder`, until the block ends."""
    environment = os.environ | {
        "DATABASE_URL": database,
        "NETRA_DATA_DIR": str(folder),
        "DJANGO_SETTINGS_MODULE": "tests.server_settings",
        "PYTHONUNBUFFERED": "1",
        **variables,
    }
    process = subprocess.Popen(
        [sys.executable, "manage.py", "serve", "--port", "0", "--migrate", "--seed-demo", *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    server = ServerProcess(url="", database_url=database, process=process, environment=environment)
    reader = threading.Thread(target=_read, args=(server,), daemon=True)
    reader.start()
    try:
        _wait_until_ready(server, wait_for)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        reader.join(5)
        assert process.stdout is not None
        process.stdout.close()


def _read(server: ServerProcess) -> None:
    assert server.process.stdout is not None
    for line in server.process.stdout:
        server.lines.append(line)


def _wait_until_ready(server: ServerProcess, address: str) -> None:
    give_up_at = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up_at:
        if server.process.poll() is not None:
            raise AssertionError(f"The server ended at once:\n{server.output}")
        for line in server.lines:
            if line.startswith("Netra is at "):
                server.url = line.split()[-1].rstrip("/").replace("localhost", "127.0.0.1")
        if server.url and _answers(server.url + address):
            return
        time.sleep(0.05)
    raise AssertionError(f"The server was not ready in {START_SECONDS} s:\n{server.output}")


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False
