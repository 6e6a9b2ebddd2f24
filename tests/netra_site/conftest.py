"""Folders for the bundled services, and processes that hold these."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from netra_site.embedded import start_postgres
from netra_site.embedded.lifetime import let_go
from tests.netra_site.services import Holder, duplicate, eventually, in_use


@pytest.fixture
def empty() -> Iterator[Path]:
    """Yield a new folder for a service, and wait for the service's end before deleting it."""
    yield from _folder()


@pytest.fixture(scope="session")
def made() -> Iterator[Path]:
    """Yield a folder in which a cluster has been made."""
    for path in _folder():
        start_postgres(path)
        let_go(path)
        yield path


@pytest.fixture
def folder(made: Path) -> Iterator[Path]:
    """Yield the folder of a cluster that does not run."""
    eventually(lambda: not in_use(made))
    yield made
    eventually(lambda: not in_use(made))


@pytest.fixture(scope="session")
def running(made: Path) -> Iterator[Path]:
    """Yield the folder of a cluster that runs all the time, held by this process; only look at it."""
    for path in _folder():
        eventually(lambda: not in_use(made))
        duplicate(made, path)
        start_postgres(path)
        yield path
        let_go(path)


@pytest.fixture
def hold() -> Iterator[Callable[..., Holder]]:
    """Yield a function that starts a process which holds a service; all are killed in the end."""
    started: list[Holder] = []

    def start(folder: Path, function: str = "start_postgres") -> Holder:
        started.append(Holder(folder, function))
        return started[-1]

    yield start
    for holder in started:
        holder.kill()


def _folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="netra-embedded-")).resolve()
    yield path
    eventually(lambda: not in_use(path))
    shutil.rmtree(path, ignore_errors=True)
