"""Where the comparisons take place: the services, and one application with its users at a time."""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redis import Redis

from benchmarks.live.commands import LOG_TAIL, ROOT, Helper
from benchmarks.live.machine import cpu_seconds, own_bytes, tree_cpu_seconds
from netra_site.embedded import start_postgres, start_redis
from netra_site.embedded.lifetime import let_go

STOP_SECONDS = 30


@dataclass(frozen=True, kw_only=True)
class Variant:
    """An application and what it runs on."""

    application: str
    """`bare`, `plain` or `netra`."""
    server: str = "uvicorn"
    with_redis: bool = False
    capacity: int | None = None
    """Of plain Channels' in-memory layer; none: its own default."""
    send_bytes: int | None = None
    """What the server's kernel keeps for each client; none: as much as it likes, up to megabytes."""

    @property
    def name(self) -> str:
        """Return how tables call it."""
        names = {"bare": "bare ASGI send", "plain": "plain Channels", "netra": "Netra"}
        capacity = f", capacity {self.capacity:,}" if self.capacity else ""
        return names[self.application] + capacity


@dataclass(kw_only=True)
class Backstage:
    """The services that all variants share, and their data."""

    folder: Path
    environment: dict[str, str]
    redis_url: str
    postgres_pid: int
    redis_pid: int
    people: Helper
    _users: int = field(default=0)

    def add_users(self, count: int) -> None:
        """See to it that there are as many users."""
        if count > self._users:
            self._users = self.people.ask("add_users", count=count)

    def postgres_cpu_seconds(self) -> float:
        """Return the CPU seconds of PostgreSQL so far."""
        return tree_cpu_seconds(self.postgres_pid)

    def redis_cpu_seconds(self) -> float:
        """Return the CPU seconds of Redis so far."""
        return cpu_seconds([self.redis_pid])


@dataclass(frozen=True, kw_only=True)
class Usage:
    """CPU seconds used so far."""

    python: float
    postgres: float
    redis: float

    def since(self, earlier: "Usage") -> "Usage":
        """Return what was used since."""
        return Usage(
            python=self.python - earlier.python,
            postgres=self.postgres - earlier.postgres,
            redis=self.redis - earlier.redis,
        )


class Stage:
    """One variant's processes and its users' process."""

    def __init__(
        self, variant: Variant, backstage: Backstage, *, server: Helper, worker: Helper | None, client: Helper
    ) -> None:
        """Play `variant` with processes that have begun."""
        self.variant, self.client = variant, client
        self._backstage, self.server, self._worker = backstage, server, worker
        self._port = server.ask("address")
        self.cast: list[dict[str, str]] = []
        """Those users of whose runs events are emitted."""

    def connect_active(self, count: int, *, at_once: int = 20) -> None:
        """Open one socket for each of the first users and have it watch a new run of theirs."""
        self._backstage.add_users(count)
        self.cast = self._backstage.people.ask("new_runs", first=0, count=count)
        self.connect(self._watching(self.cast, 0), group="active", at_once=at_once)

    def connect_reader(self, number: int, *, receive_bytes: int | None) -> dict[str, str]:
        """Open a socket for the user with this number and a new run of theirs; return user and run.

        With `receive_bytes`, of which the kernel keeps no more for it, it reads slowly.
        """
        self._backstage.add_users(number + 1)
        [person] = self._backstage.people.ask("new_runs", first=number, count=1)
        [wanted] = self._watching([person], number)
        self.connect([{**wanted, "receive_bytes": receive_bytes}], group="reader", at_once=1)
        return dict(person)

    def connect(
        self, wanted: list[dict[str, Any]], *, group: str, at_once: int, **limits: Any
    ) -> dict[str, Any]:
        """Open sockets; return how many, and the seconds it took."""
        answer: dict[str, Any] = self.client.ask(
            "connect", port=self._port, sockets=wanted, group=group, at_once=at_once, **limits
        )
        if not limits and answer["opened"] != len(wanted):
            raise RuntimeError(f"{answer['opened']} of {len(wanted)} sockets were opened.")
        return answer

    def connect_idle(self, first: int, count: int, *, at_once: int = 50, **limits: Any) -> dict[str, Any]:
        """Open sockets of users of whom nothing is emitted; return how many, and the seconds it took."""
        self._backstage.add_users(first + count)
        return self.connect(self.wanted(first, count), group="idle", at_once=at_once, **limits)

    def wanted(self, first: int, count: int, *, with_session: bool = False) -> list[dict[str, Any]]:
        """Return what the client must know to open a socket of each of these users."""
        people = self._backstage.people
        if self.variant.application == "netra":
            return [
                {
                    "user_id": each["user_id"],
                    "path": "/ws/chat/",
                    "headers": {"Sec-WebSocket-Protocol": f"netra.v1, bearer.{each['token']}"},
                    "is_netra": True,
                    "thread_id": None,
                }
                for each in people.ask("tokens", first=first, count=count)
            ]
        if with_session:
            return [
                _plain_socket(each["user_id"], "/ws/session/", {"Cookie": f"sessionid={each['session']}"})
                for each in people.ask("sessions", first=first, count=count)
            ]
        ids = [each["user_id"] for each in people.ask("ids", first=first, count=count)]
        return [_plain_socket(user_id, f"/ws/plain/{user_id}", {}) for user_id in ids]

    def _watching(self, people: list[dict[str, str]], first: int) -> list[dict[str, Any]]:
        wanted = self.wanted(first, len(people))
        for each, person in zip(wanted, people, strict=True):
            if self.variant.application == "netra":
                each["thread_id"] = person["thread_id"]
        return wanted

    def emit(self, command: str = "emit", **arguments: Any) -> dict[str, Any]:
        """Have events emitted for the cast, in the server's process or, with Redis, in the worker's."""
        emitter = self._worker or self.server
        answer: dict[str, Any] = emitter.ask(command, people=self.cast, **arguments)
        return answer

    def managers(self, *, expected: int | None = None) -> dict[str, int]:
        """Return the counts of Netra's registry of managers; wait a while for as many as expected."""
        give_up_at = time.monotonic() + STOP_SECONDS
        while True:
            status: dict[str, int] = self.server.ask("managers")
            if expected in (None, status["managers"]) or time.monotonic() > give_up_at:
                return status
            time.sleep(0.1)

    def usage(self) -> Usage:
        """Return the CPU used so far."""
        pids = [self.server.pid] + ([self._worker.pid] if self._worker else [])
        return Usage(
            python=cpu_seconds(pids),
            postgres=self._backstage.postgres_cpu_seconds(),
            redis=self._backstage.redis_cpu_seconds() if self.variant.with_redis else 0.0,
        )

    def server_bytes(self) -> int:
        """Return the memory of the server's process, without what nobody refers to."""
        self.server.ask("tidy")
        return own_bytes(self.server.pid)


@contextmanager
def backstage() -> Iterator[Backstage]:
    """Yield services with an empty, migrated database, and end them afterwards."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # for the processes that are started
    folder = Path(tempfile.mkdtemp(prefix="netra-benchmark-"))
    folder.chmod(0o755)
    services = [folder / "postgres", folder / "redis"]
    try:
        environment = {
            "DATABASE_URL": start_postgres(services[0]),
            "REDIS_URL": "",
            "DEBUG": "1",
            "NETRA_DATA_DIR": str(folder / "var"),
            "NETRA_LOG_LEVEL": "WARNING",
            "DJANGO_SETTINGS_MODULE": "benchmarks.live.settings",
        }
        redis_url = start_redis(services[1])
        migrate = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
        subprocess.run(migrate, cwd=ROOT, env=os.environ | environment, check=True)
        log = folder / "people.log"
        with Helper("benchmarks.live.people", log=log, environment=environment) as people:
            yield Backstage(
                folder=folder,
                environment=environment,
                redis_url=redis_url,
                postgres_pid=int((services[0] / "data" / "postmaster.pid").read_text().split()[0]),
                redis_pid=Redis.from_url(redis_url).info("server")["process_id"],
                people=people,
            )
    finally:
        for service in services:
            let_go(service)
        give_up_at = time.monotonic() + STOP_SECONDS
        while (services[0] / "data" / "postmaster.pid").exists() and time.monotonic() < give_up_at:
            time.sleep(0.1)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def stage(variant: Variant, behind: Backstage) -> Iterator[Stage]:
    """Yield a stage with the variant's processes, which end with the block."""
    environment = behind.environment | {
        "BENCHMARK_APPLICATION": variant.application,
        "BENCHMARK_CAPACITY": str(variant.capacity or ""),
        "REDIS_URL": behind.redis_url if variant.with_redis else "",
    }

    def start(module: str, *arguments: str) -> Helper:
        name = module.rsplit(".", 1)[-1]
        log = behind.folder / f"{variant.application}-{name}.log"
        return stack.enter_context(Helper(module, *arguments, log=log, environment=environment))

    with ExitStack() as stack:
        limits = ["--send-bytes", str(variant.send_bytes)] if variant.send_bytes else []
        server = start("benchmarks.live.server", variant.application, variant.server, *limits)
        worker = start("benchmarks.live.worker", variant.application) if variant.with_redis else None
        client = start("benchmarks.live.client")
        try:
            yield Stage(variant, behind, server=server, worker=worker, client=client)
        except RuntimeError as error:
            for log in sorted(behind.folder.glob(f"{variant.application}-*.log")):
                error.add_note(f"--- {log.name}:\n{log.read_text(errors='replace')[-LOG_TAIL:]}")
            raise


def _plain_socket(user_id: str, path: str, headers: dict[str, str]) -> dict[str, Any]:
    return {"user_id": user_id, "path": path, "headers": headers, "is_netra": False, "thread_id": None}
