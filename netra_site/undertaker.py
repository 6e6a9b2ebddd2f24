"""End the processes of a supervisor that was killed before it could end them itself.

Run as a program of its own (`python undertaker.py SECONDS`), by path and with the standard library alone.
Its standard input is a pipe that only the supervisor can write: a line `+ID` for a process that it
has started in a session of its own, `-ID` for one that has ended. The kernel closes the pipe with
the supervisor, even after `kill -9`; what is still alive then is ended.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable

STOP_SECONDS = 15.0
"""How long a process may take to end before it is killed, where the program's argument says no other time."""


def read_processes(lines: Iterable[str]) -> set[int]:
    """Return the ids of the processes that are left when the lines end."""
    left: set[int] = set()
    for line in lines:
        change = left.add if line.startswith("+") else left.discard
        change(int(line[1:]))
    return left


def end_processes(processes: set[int], *, stop_seconds: float = STOP_SECONDS) -> None:
    """Ask the processes to end; kill what is left of a session once they have, or after `stop_seconds`."""
    deadline = time.monotonic() + stop_seconds
    left = {process for process in processes if _send(os.kill, process, signal.SIGTERM)}
    while left:
        time.sleep(0.05)
        late = time.monotonic() > deadline
        for process in [process for process in left if late or not _send(os.kill, process, 0)]:
            _send(os.killpg, process, signal.SIGKILL)
            left.remove(process)


def _send(send: Callable[[int, int], None], process: int, number: int) -> bool:
    try:
        send(process, number)
    except (ProcessLookupError, PermissionError):  # macOS denies it for one that has ended
        return False
    return True


if __name__ == "__main__":
    end_processes(read_processes(sys.stdin), stop_seconds=float(sys.argv[1]))
