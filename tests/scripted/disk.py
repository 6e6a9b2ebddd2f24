"""A disk for datasets that is small enough to be filled up: a file system in memory, mounted for a test."""

import errno
import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self

SIZE = 1 << 20
FILES = 64


class SmallDisk:
    """The `files/datasets` of a folder; `is_mounted` tells whether the system let it be a disk of its own."""

    def __init__(self, folder: Path) -> None:
        """Mount it below `folder` when it is entered."""
        self.folder = folder
        self.path = folder / "files" / "datasets"
        self.is_mounted = False

    def __enter__(self) -> Self:
        self.path.mkdir(parents=True)
        command = [
            "mount",
            "-t",
            "tmpfs",
            "-o",
            f"size={SIZE},nr_inodes={FILES}",
            "netra-tests",
            str(self.path),
        ]
        self.is_mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.is_mounted:
            subprocess.run(["umount", "--lazy", str(self.path)], check=True)

    @contextmanager
    def full(self) -> Iterator[None]:
        """Leave no byte free for the time of the block."""
        filler = self.path / "filler"
        with filler.open("wb", buffering=0) as file:
            for size in (4096, 1):
                _until_refused(lambda size=size: file.write(bytes(size)))
        try:
            yield
        finally:
            filler.unlink()

    @contextmanager
    def crowded(self) -> Iterator[None]:
        """Leave no room for another file or folder for the time of the block."""
        numbers = count()
        _until_refused(lambda: (self.path / f"filler-{next(numbers)}").touch())
        try:
            yield
        finally:
            for filler in self.path.glob("filler-*"):
                filler.unlink()

    def files(self) -> list[str]:
        """Return everything that lies on it, hidden files as well."""
        return sorted(os.path.join(folder, name) for folder, _, names in os.walk(self.path) for name in names)


@contextmanager
def no_more_files(process_id: int) -> Iterator[None]:
    """Have the system refuse whatever a process writes to files, for the time of the block."""
    soft, hard = resource.prlimit(process_id, resource.RLIMIT_FSIZE)
    resource.prlimit(process_id, resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.prlimit(process_id, resource.RLIMIT_FSIZE, (soft, hard))


def _until_refused(take: Callable[[], object]) -> None:
    """Take room until there is no more."""
    try:
        while True:
            take()
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
