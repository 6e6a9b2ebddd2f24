"""A server's maker of query processes: a small program beside it, started at first use."""

import atexit
import os
import socket
import subprocess
import sys
import threading
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path

from contexts.exceptions import UnavailableError

_ROOT = Path(__file__).resolve().parents[2]
_PROGRAM = (
    "import socket, sys; from agents.datasets.query_server import make_processes; "
    "make_processes(socket.socket(fileno=int(sys.argv[1])))"
)
_KEPT_VARIABLES = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL")
"""What of the environment the program gets; the rest may be secret."""
_PATIENCE_SECONDS = 10.0


class ProcessMaker:
    """Hands out query processes, each already running; started again if it was killed."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self._lock = threading.Lock()
        self._orders: socket.socket | None = None
        self._program: subprocess.Popen[bytes] | None = None

    def take(self) -> tuple[int, Connection]:
        """Return a process's id, and the channel on which it answers this caller alone.

        Raises:
            UnavailableError: when the system makes no more processes.
        """
        with self._lock:
            for _ in range(2):
                try:
                    return self._order()
                except OSError:
                    self._stop()
        raise UnavailableError("The server has no process free for an analysis; try again in a moment.")

    def close(self) -> None:
        """End the program and every process that it made."""
        with self._lock:
            self._stop()

    def _order(self) -> tuple[int, Connection]:
        orders = self._orders or self._start()
        orders.sendall(b"1")
        process_id, descriptors, _, _ = socket.recv_fds(orders, 32, 1)
        if not descriptors:
            raise ConnectionResetError("The maker of query processes is gone.")
        os.set_inheritable(descriptors[0], False)
        return int(process_id), Connection(descriptors[0])

    def _start(self) -> socket.socket:
        mine, theirs = socket.socketpair()
        mine.settimeout(_PATIENCE_SECONDS)
        with theirs:
            self._program = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, str(theirs.fileno())],
                cwd=_ROOT,
                env={name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                # A group of its own, which it ends with itself; and no Ctrl-C of this terminal.
                start_new_session=True,
            )
        self._orders = mine
        return mine

    def _stop(self) -> None:
        orders, self._orders = self._orders, None
        program, self._program = self._program, None
        if orders is not None:
            orders.close()
        if program is not None:
            try:
                program.wait(_PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait()


@cache
def get_process_maker() -> ProcessMaker:
    """Return this process's maker; it ends with the process, however that ends."""
    maker = ProcessMaker()
    atexit.register(maker.close)
    return maker
