"""A web process and workers that tests kill, stop, wake and replace, on one database and one Redis."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from tests.flows.soak.people import Person, make_people
from tests.flows.soak.processes import ROOT, Cluster, Process, Redis, wait_until
from tests.scripted import counting

STALLED_AFTER_S = 3
LIMITS = {"concurrent_runs": 2_000, "agent_runs": 100_000, "messages": 100_000, "tokens": 1_000_000_000}
"""Of everybody in the enterprise tier, so that no limit is what a test finds."""


class StoppableRedis(Redis):
    """A Redis that can also be made to stand still."""

    @property
    def is_running(self) -> bool:
        """Tell whether it was started and not killed."""
        return self._process is not None

    def signal(self, number: int) -> None:
        """Send its process a signal."""
        assert self._process is not None
        self._process.send_signal(number)


class Fleet(Cluster):
    """One web process, and workers that a test names; their models and tools are scripted."""

    redis: StoppableRedis

    @property
    def environment(self) -> dict[str, str]:
        """Return the settings that all of its processes share."""
        return super().environment | {
            "DJANGO_SETTINGS_MODULE": "tests.scripted_settings",
            "NETRA_STALLED_AFTER_S": str(STALLED_AFTER_S),
            "NETRA_DATABASE_POOL": "10",
            "NETRA_WORKER_CONCURRENCY": "32",
            counting.VARIABLE: str(self.counts_file),
        }

    @property
    def counts_file(self) -> Path:
        """Return the book in which scripted models and tools count themselves."""
        return self.folder / "counts"

    def start(self, *, workers: int = 2) -> None:
        """Bring the database up to date and start the web process and workers; return when they are ready."""
        self.redis.start()
        self.web.append(self._launch("serve", "--no-worker", "--port", "0", "--migrate"))
        self._wait_for_web(self.web[0], "/healthz")
        with self.connect() as rows:
            for resource, limit in LIMITS.items():
                rows.execute(
                    'UPDATE contexts_tierlimit SET "limit" = %s FROM contexts_tier tier'
                    " WHERE tier.id = tier_id AND slug = 'enterprise' AND resource = %s",
                    [limit, resource],
                )
        self.start_workers(workers)

    def start_workers(self, count: int, *arguments: str) -> list[Process]:
        """Start workers and return them when the queue knows them."""
        with self.connect() as rows:
            newest = "SELECT coalesce(max(id), 0) FROM procrastinate_workers"
            (before,) = rows.execute(newest).fetchone() or (0,)
            launched = [self.launch_worker(*arguments) for _ in range(count)]

            def are_there() -> bool:
                for worker in launched:
                    assert worker.process.poll() is None, worker.output
                # Others may have come back under new numbers, after they had been away.
                present = "SELECT count(*) >= %s FROM procrastinate_workers WHERE id > %s"
                return rows.execute(present, [count, before]).fetchone() == (True,)

            wait_until(are_there, f"{count} workers are at work")
        return launched

    def launch_worker(self, *arguments: str) -> Process:
        """Start a worker and return at once."""
        worker = self._launch("worker", *arguments)
        self.workers.append(worker)
        return worker

    def connect(self) -> psycopg.Connection[Any]:
        """Return a connection that sees every row."""
        return psycopg.connect(self.database, autocommit=True, options="-c netra.scope=system")

    def people(self, count: int, *, threads: int = 6) -> list[Person]:
        """Make users of the enterprise tier, two of a tenant."""
        return make_people(self, users=count, threads=threads)

    def counts(self) -> list[counting.Entry]:
        """Return what scripted models and tools have counted so far."""
        return counting.read_counts(self.counts_file)

    def manage(self, *arguments: str) -> None:
        """Run a management command, which has to succeed."""
        result = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stdout + result.stderr

    def stop(self) -> None:
        """End everything, whatever state it is in."""
        for process in self.all:
            if process.process.poll() is None:
                process.process.send_signal(signal.SIGCONT)
        if self.redis.is_running:
            self.redis.signal(signal.SIGCONT)
        super().stop()


@contextmanager
def fleet(database: str, folder: Path) -> Iterator[Fleet]:
    """Yield a fleet that is not started yet; nothing of it is left afterwards."""
    started = Fleet(database=database, folder=folder, redis=StoppableRedis(folder))
    try:
        yield started
    finally:
        started.stop()


def kill(worker: Process) -> None:
    """Kill a process: it does nothing any more."""
    worker.process.kill()
    worker.process.wait()


@contextmanager
def standing_still(worker: Process) -> Iterator[None]:
    """Have a process stand still for the time of the block."""
    worker.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        worker.process.send_signal(signal.SIGCONT)
