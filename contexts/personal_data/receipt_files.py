"""The file of a receipt: known to be writable before anything is erased, and whole or not there at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


class ReceiptFile:
    """A file that is written once, beside its place, and then put there."""

    def __init__(self, path: Path, part: Path, file: IO[str]) -> None:
        """Write into `file`, which lies at `part`, what is to be at `path`."""
        self._path = path
        self._part = part
        self._file = file

    def write(self, text: str) -> None:
        """Have the file with this text at its place; a loss of power does not take it back.

        Raises:
            OSError: when it cannot be written; nothing is at its place then.
        """
        with self._file as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        self._part.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextmanager
def receipt_file(path: Path) -> Iterator[ReceiptFile]:
    """Yield a new file that only its owner reads; without a `write` nothing is left of it.

    Raises:
        FileExistsError: when there is something at its place already.
        OSError: when no file can be made there.
    """
    # An empty file is one that somebody has made for this.
    if os.path.lexists(path) and not (path.is_file() and path.stat().st_size == 0):
        raise FileExistsError("there is such a file already")
    part = path.with_name(f".{path.name}.part")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    file = os.fdopen(os.open(part, flags, 0o600), "w", encoding="utf-8")
    try:
        yield ReceiptFile(path, part, file)
    finally:
        part.unlink(missing_ok=True)
        file.close()
