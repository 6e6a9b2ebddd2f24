"""A process that answers one session's queries and can be stopped at any moment."""

import logging
import pickle
import threading
from contextlib import suppress
from typing import Any

import psutil

from contexts.exceptions import ToolError

from .process_maker import get_process_maker
from .query_server import Reply

logger = logging.getLogger(__name__)

_STOPPED = "The analysis was stopped."
_ENDED = "The analysis ended by itself; it may have needed more memory than it may use."


class QueryProcess:
    """One process with a DuckDB instance of its own; safe to use from threads, whose calls take turns."""

    def __init__(self) -> None:
        """Take the process that waits for work.

        Raises:
            UnavailableError: when there is none, and none can be made.
        """
        process_id, self._channel = get_process_maker().take()
        self._turn = threading.Lock()
        self._has_ended = False
        self._process: psutil.Process | None = None
        with suppress(psutil.NoSuchProcess):
            self._process = psutil.Process(process_id)
        self._cpu_seconds = 0.0
        self._cpu_before = self._read_cpu()

    @property
    def has_ended(self) -> bool:
        """Tell whether it answers no more."""
        return self._has_ended

    @property
    def cpu_seconds(self) -> float:
        """Return the CPU time that it has used since it was taken; exact between calls, else to 20 ms."""
        return self._read_cpu() - self._cpu_before

    def call(self, method: str, **arguments: Any) -> Any:
        """Return what a method of its `DatasetDatabase` returns, or raise what that raises.

        Raises:
            ToolError: when it was stopped, or ended by itself.
        """
        with self._turn:
            if self._has_ended:
                raise ToolError(_STOPPED)
            try:
                self._channel.send_bytes(pickle.dumps((method, arguments)))
                reply: Reply = pickle.loads(self._channel.recv_bytes())  # noqa: S301 - our own process
            except (EOFError, OSError):
                if self._has_ended:
                    raise ToolError(_STOPPED) from None
                self._has_ended = True
                logger.warning("A query process ended by itself")
                raise ToolError(_ENDED) from None
            self._cpu_seconds = max(self._cpu_seconds, reply.cpu_seconds)
        if reply.error is not None:
            raise reply.error
        return reply.result

    def stop(self) -> None:
        """End it now, from any thread; a call under way and all later ones raise `ToolError`."""
        self._has_ended = True
        self._read_cpu()
        if self._process is not None:
            with suppress(psutil.NoSuchProcess):
                self._process.kill()

    def close(self) -> None:
        """End it and give everything back."""
        self.stop()
        with self._turn:
            self._channel.close()

    def _read_cpu(self) -> float:
        if self._process is not None:
            with suppress(psutil.NoSuchProcess):
                times = self._process.cpu_times()
                self._cpu_seconds = max(self._cpu_seconds, times.user + times.system)
        return self._cpu_seconds
