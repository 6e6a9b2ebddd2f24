"""One PostgreSQL cluster: made, started, and told about."""

import errno
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import pq

from netra_site.embedded.account import Account
from netra_site.embedded.errors import EmbeddedPostgresError
from netra_site.embedded.processes import find_server_processes
from netra_site.embedded.socket_folder import socket_folder

VERSION = "18"
"""PostgreSQL's major version; the wheel holds this and an older one."""
START_SECONDS = 60
"""How long a start may take; after a power loss PostgreSQL first replays its log."""

SETTINGS = {
    "listen_addresses": "",
    # relative to the data folder, which only its owner may enter: that is the access control
    "unix_socket_directories": ".",
    "port": "5432",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "timezone": "UTC",
}
TEMPORARY_SETTINGS = {"fsync": "off", "full_page_writes": "off"}
"""For data that nobody wants back after a power loss."""

ROLE = "netra"


class PostgresServer:
    """One cluster and the programs that look after it."""

    def __init__(self, programs: Path, folder: Path, account: Account, *, temporary: bool) -> None:
        """Take the `bin` folder of the programs and the folder whose `data` is or will be the cluster."""
        self._programs = programs
        self._data = folder / "data"
        self._log = self._data / "server.log"
        self._account = account
        self._temporary = temporary
        # what the programs and libpq are told; they cannot take every path
        self._name = socket_folder(folder, "data/.s.PGSQL.5432")

    def url(self, role: str, database: str = "") -> str:
        """Return the URL that connects `role` to `database` (default: the one named like the role)."""
        return f"postgresql://{role}@{quote(str(self._name / 'data'), safe='')}:5432/{database or role}"

    def stop_command(self, mode: str) -> list[str]:
        """Return the command that stops the server, in one of PostgreSQL's shutdown modes."""
        data = str(self._name / "data")
        return [str(self._programs / "pg_ctl"), "stop", "-s", "-w", "-m", mode, "-D", data]

    def create(self) -> None:
        """Make the cluster, all or nothing: an interrupted attempt leaves no `data` folder."""
        unfinished = self._data.with_name("data.unfinished")
        if unfinished.exists():
            shutil.rmtree(unfinished)
        unfinished.mkdir(mode=0o700)
        self._account.give(unfinished)
        # fmt: off
        result = self._run("initdb", "--pgdata", str(self._name / unfinished.name), "--username", "postgres",
                           "--auth", "trust", "--encoding", "UTF8", "--locale", "C",
                           "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8",
                           *(["--no-sync"] if self._temporary else []))
        # fmt: on
        if result.returncode:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise EmbeddedPostgresError(
                f"PostgreSQL cannot create its data in {self._data}: {_reason(result.stderr)}. Make room or "
                "set NETRA_DATA_DIR to another folder, or set DATABASE_URL."
            )
        unfinished.rename(self._data)

    def check_version(self) -> None:
        """Refuse a folder that holds something else, or another version's data."""
        try:
            version = (self._data / "PG_VERSION").read_text().strip()
        except FileNotFoundError:
            raise EmbeddedPostgresError(
                f"{self._data} is no PostgreSQL data folder (it has no PG_VERSION). Move it away and Netra "
                "starts with an empty database, or restore it from a backup."
            ) from None
        if version != VERSION:
            raise EmbeddedPostgresError(
                f"{self._data} holds data of PostgreSQL {version}; the bundled one is {VERSION}. Move the "
                "folder away and Netra starts with an empty database, or set DATABASE_URL."
            )

    def bring_up(self) -> None:
        """Return as soon as the server takes connections, starting it when it does not run."""
        deadline = time.monotonic() + START_SECONDS
        while (answer := self._ping()) != pq.Ping.OK:
            if time.monotonic() > deadline:
                raise EmbeddedPostgresError(
                    f"PostgreSQL in {self._data} is not ready after {START_SECONDS} s. See {self._log}."
                )
            if answer == pq.Ping.REJECT or find_server_processes(self._data):
                time.sleep(0.05)
            else:
                self._forget()
                self._launch()

    def ensure_database(self) -> None:
        """Create the role and its database unless they exist."""
        with psycopg.connect(self.url("postgres"), autocommit=True, connect_timeout=10) as connection:
            if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [ROLE]).fetchone():
                connection.execute(
                    f"CREATE ROLE {ROLE} LOGIN NOSUPERUSER NOCREATEROLE CREATEDB NOREPLICATION NOBYPASSRLS"
                )
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [ROLE]).fetchone():
                connection.execute(f"CREATE DATABASE {ROLE} OWNER {ROLE}")

    def _launch(self) -> None:
        self._data.chmod(0o700)
        settings = SETTINGS | (TEMPORARY_SETTINGS if self._temporary else {})
        options = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
        written = self._log.stat().st_size if self._log.exists() else 0
        data = self._name / "data"
        # fmt: off
        result = self._run("pg_ctl", "start", "-s", "-w", "-t", str(START_SECONDS), "-D", str(data),
                           "-l", str(data / self._log.name), "-o", options)
        # fmt: on
        if result.returncode == 0:
            return
        log = self._log.read_bytes()[written:].decode(errors="replace") if self._log.exists() else ""
        if "pre-existing shared memory block" in log:
            # the postmaster was killed and its children are still on their way out
            time.sleep(0.2)
            return
        raise EmbeddedPostgresError(
            f"PostgreSQL cannot start on {self._data}: {_reason(log or result.stderr)}. See {self._log}."
        )

    def _ping(self) -> pq.Ping:
        return pq.Ping(pq.PGconn.ping(f"{self.url('postgres')}?connect_timeout=5".encode()))

    def _forget(self) -> None:
        """Remove what a server that is no more has left.

        PostgreSQL removes it only when it can read the process id in it and no process of any kind has
        that id. Two servers on the same data are still kept apart by its shared memory.
        """
        for name in ("postmaster.pid", ".s.PGSQL.5432.lock"):
            (self._data / name).unlink(missing_ok=True)

    def _run(self, program: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))}
        # a file and no pipe: a server that inherits a pipe would keep its reader waiting
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
            result = subprocess.run(
                [str(self._programs / program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                cwd="/",
                env=inherited | {"LC_ALL": "C"},
                # Ctrl-C in the terminal interrupts us, not a half-made cluster
                start_new_session=True,
                check=False,
                **self._account.subprocess_options(),
            )
            errors.seek(0)
            return subprocess.CompletedProcess(result.args, result.returncode, stderr=errors.read())


def _reason(text: str) -> str:
    """Return PostgreSQL's own words for why it stopped, the last that is an error."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    full = [line for line in lines if os.strerror(errno.ENOSPC) in line]
    worst = [line for line in lines if any(word in line for word in ("FATAL:", "PANIC:", "error:", "ERROR:"))]
    return (full or worst or lines or ["no reason given"])[-1].rstrip(".")
