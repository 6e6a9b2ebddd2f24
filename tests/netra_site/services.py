"""What tests of the bundled services share: other processes that hold one, and ways to see its end."""

import fcntl
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg

ROOT = Path(__file__).resolve().parents[2]
HOLDER = """
import sys
from pathlib import Path
from netra_site.embedded import {function}
print({function}(Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""


class Holder:
    """Another process that holds the service, until its standard input is closed or it is killed."""

    def __init__(self, folder: Path, function: str = "start_postgres") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDER.format(function=function), str(folder)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def url(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def finish(self) -> None:
        self.process.communicate()

    def kill(self, number: int = signal.SIGKILL) -> None:
        self.process.send_signal(number)
        self.process.communicate()


def in_use(folder: Path) -> bool:
    """Tell whether someone watches over the service of `folder`: until it has been stopped."""
    if not (folder / "watcher.lock").exists():
        return False
    with (folder / "watcher.lock").open("rb+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def eventually(condition: Callable[[], bool], seconds: float = 15) -> None:
    """Wait until `condition` holds; another process makes it so and tells nobody."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def answers(url: str) -> bool:
    """Tell whether the PostgreSQL at `url` answers a query."""
    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)
    except psycopg.OperationalError:
        return False


def postmaster(folder: Path) -> int:
    """Return the process id of the PostgreSQL that runs in `folder`."""
    return int((folder / "data" / "postmaster.pid").read_text().split()[0])


def duplicate(cluster: Path, folder: Path) -> None:
    """Copy a cluster that does not run, with its owner; much quicker than making one."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-Rp", str(cluster / "data"), str(folder / "data")], check=True)
