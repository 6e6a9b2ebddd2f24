"""A disk for datasets that is small enough to be filled up: a file system in memory, mounted for a test."""

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

SIZE = 1 << 20


class SmallDisk:
    """The `files/datasets` of a folder; `is_mounted` tells whether the system let it be a disk of its own."""

    def __init__(self, folder: Path) -> None:
        """Mount it below `folder` when it is entered."""
        self.folder = folder
        self.path = folder / "files" / "datasets"
        self.is_mounted = False

    def __enter__(self) -> Self:
        self.path.mkdir(parents=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "netra-tests", str(self.path)]
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
                try:
                    while True:
                        file.write(bytes(size))
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
        try:
            yield
        finally:
            filler.unlink()

    def files(self) -> list[str]:
        """Return everything that lies on it, hidden files as well."""
        return sorted(os.path.join(folder, name) for folder, _, names in os.walk(self.path) for name in names)
