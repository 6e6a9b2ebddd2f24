"""One fleet, on a PostgreSQL and a Redis of its own, for all tests of what runs survive."""

import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.flows.soak.people import TENANT_SIZE, Person
from tests.flows.soak.processes import Process
from tests.scripted.database import OwnPostgres
from tests.scripted.disk import SmallDisk
from tests.scripted.fleet import Fleet, fleet


@pytest.fixture(scope="package")
def postgres() -> Iterator[OwnPostgres]:
    """Yield a PostgreSQL that may be restarted."""
    server = OwnPostgres(Path(tempfile.mkdtemp(prefix="netra-survival-")))
    yield server
    server.close()


@pytest.fixture(scope="package")
def disk() -> Iterator[SmallDisk]:
    """Yield where the fleet keeps its datasets: a disk that may be filled up."""
    with tempfile.TemporaryDirectory(prefix="netra-survival-") as folder, SmallDisk(Path(folder)) as mounted:
        yield mounted


@pytest.fixture(scope="package")
def running(postgres: OwnPostgres, disk: SmallDisk) -> Iterator[Fleet]:
    """Yield a web process and two workers."""
    with fleet(postgres.url, disk.folder) as started:
        started.start()
        yield started


@pytest.fixture(scope="package")
def people(running: Fleet) -> list[Person]:
    """Return users of whom nobody has asked anything."""
    return running.people(40)


@pytest.fixture
def person(people: list[Person]) -> Person:
    """Return a user of whom no other test knows."""
    return people.pop()


@pytest.fixture
def strangers(people: list[Person]) -> list[Person]:
    """Return four users of four tenants, of whom no other test knows."""
    chosen = people[: 4 * TENANT_SIZE : TENANT_SIZE]
    del people[: 4 * TENANT_SIZE]
    return chosen


@pytest.fixture
def pair(running: Fleet) -> tuple[Process, Process]:
    """Return the two workers that are alive."""
    alive = [worker for worker in running.workers if worker.process.poll() is None]
    missing = max(0, 2 - len(alive))
    first, second = [*alive, *running.start_workers(missing)]
    return first, second


@pytest.fixture
def rows(running: Fleet) -> Iterator[psycopg.Connection[Any]]:
    """Yield a connection that sees every row of the fleet's database."""
    with running.connect() as connection:
        yield connection


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Return what prints a line of figures among the tests' results."""

    def say(line: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n{line}\n")

    return say
