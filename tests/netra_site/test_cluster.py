"""`manage.py cluster`: whichever of its processes is killed, it heals, and Ctrl-C ends them all."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

from netra_site.env import BASE_DIR
from tests.netra_site.services import eventually
from tests.servers import database_url

pytestmark = pytest.mark.e2e

PATIENCE_SECONDS = 90.0


def two_ports_in_a_row() -> int:
    """Return the first of two ports at which nothing listens."""
    while True:
        with socket.socket() as first, socket.socket() as second, suppress(OSError):
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            second.bind(("127.0.0.1", port + 1))
            return port


class Cluster:
    """A running cluster on a database of its own, and what it has printed."""

    def __init__(self, folder: Path) -> None:
        self.port = two_ports_in_a_row()
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "cluster", "--port", str(self.port)],
            cwd=BASE_DIR,
            env=os.environ
            | {
                "DATABASE_URL": database_url("netra_cluster"),
                "NETRA_DATA_DIR": str(folder),
                "NETRA_STALLED_AFTER_S": "4",
                "DJANGO_SETTINGS_MODULE": "netra_site.settings",
                "DEBUG": "false",
                "SECRET_KEY": "of-a-test-" * 6,
                "REDIS_URL": "",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def kill(self) -> None:
        """End it, if it has not ended; its undertaker ends the rest."""
        self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(self.process.stdout)

    def find(self, words: str) -> psutil.Process:
        """Return the process of the cluster whose command line has these words."""
        for process in psutil.Process(self.process.pid).children():
            with suppress(psutil.Error):
                if words in " ".join(process.cmdline()):
                    return process
        raise AssertionError(f"no {words} runs:\n{''.join(self.lines)}")

    def redis(self, folder: Path) -> int:
        """Return the process id of its Redis."""
        starts = re.findall(r"pid=(\d+), just started", (folder / "redis" / "server.log").read_text())
        return int(starts[-1])

    def is_ready(self) -> bool:
        assert self.process.poll() is None, "".join(self.lines)
        with suppress(httpx.TransportError):
            return all(
                httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=10).status_code == 200
                for port in (self.port, self.port + 1)
            )
        return False


@pytest.fixture
def cluster(tmp_path: Path, django_db_setup: None) -> Iterator[Cluster]:
    running = Cluster(tmp_path)
    yield running
    running.kill()


def test_whatever_is_killed_comes_back_and_ctrl_c_ends_all(cluster: Cluster, tmp_path: Path) -> None:
    eventually(cluster.is_ready, PATIENCE_SECONDS)
    first_redis = cluster.redis(tmp_path)
    first_worker = cluster.find("manage.py worker")
    first_worker.kill()
    os.kill(first_redis, signal.SIGKILL)

    def are_told() -> bool:
        said = "".join(cluster.lines)
        return "redis ended; starting" in said and bool(re.search(r"worker-\d ended with status -9", said))

    eventually(are_told, PATIENCE_SECONDS)
    eventually(lambda: cluster.redis(tmp_path) != first_redis, PATIENCE_SECONDS)
    eventually(cluster.is_ready, PATIENCE_SECONDS)

    left = psutil.Process(cluster.process.pid).children(recursive=True)
    left.append(psutil.Process(cluster.redis(tmp_path)))
    cluster.process.send_signal(signal.SIGINT)
    assert cluster.process.wait(PATIENCE_SECONDS) == 0
    eventually(lambda: not any(process.is_running() for process in left), PATIENCE_SECONDS)
