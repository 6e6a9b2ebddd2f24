"""Taking uploaded files: to disk, never to memory, and never more than is allowed."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from django.conf import settings
from django.core.files.uploadhandler import TemporaryFileUploadHandler
from django.http import HttpRequest

from contexts.exceptions import PayloadTooLargeError, UnavailableError

# The form's other fields and its separators.
_ENVELOPE_BYTES = 65_536
MAX_REQUEST_BYTES = settings.MAX_UPLOAD_BYTES + _ENVELOPE_BYTES
"""The largest request with a file that is read at all."""
UPLOAD_PATH = "/api/v1/datasets"
ADMITTED_UPLOAD = "netra.admitted_upload"
"""Where an ASGI scope has the `AdmittedUpload` of its request."""


def is_upload(scope: Mapping[str, Any]) -> bool:
    """Tell whether an ASGI scope of HTTP is that of an upload."""
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    return scope["method"].upper() == "POST" and path == UPLOAD_PATH


class BoundedUploadHandler(TemporaryFileUploadHandler):
    """Writes files to temporary files and stops once those of a request exceed `limit` bytes."""

    def __init__(self, request: HttpRequest | None = None, *, limit: int) -> None:
        """Count from nothing."""
        super().__init__(request)
        self._limit = limit
        self._received = 0

    def receive_data_chunk(self, raw_data: bytes, start: int) -> Any:
        """Write a piece of a file.

        Raises:
            PayloadTooLargeError: when it is one too many; the rest is not read.
            UnavailableError: when the disk has no room for it.
        """
        self._received += len(raw_data)
        if self._received > self._limit:
            self._discard()
            raise PayloadTooLargeError(f"A file may have at most {self._limit:,} bytes.")
        with self._room():
            return super().receive_data_chunk(raw_data, start)

    def file_complete(self, file_size: int) -> Any:
        """Return the file.

        Raises:
            UnavailableError: when the disk had no room for the last of it.
        """
        with self._room():
            return super().file_complete(file_size)

    @contextmanager
    def _room(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._discard()
            raise UnavailableError("The file cannot be written to the server's disk.") from error

    def _discard(self) -> None:
        """Delete what has come of a file; nobody else does: Django closes only those that are complete."""
        with suppress(OSError):  # what was not written yet cannot be either
            self.file.close()
