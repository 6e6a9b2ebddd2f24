"""The program that makes query processes, without secrets, each for one session and within its memory.

DuckDB's memory limit leaves out what functions make of a vector of rows, and an interruption waits for them;
the operating system's limit and SIGKILL know no such exceptions. A process is forked ahead of need from one
that has loaded everything and opened nothing. `agents.datasets.query_process` is the other side.
"""

import ctypes
import math
import os
import pickle
import re
import resource
import signal
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from contexts.exceptions import ToolError

from .database import OUT_OF_MEMORY, DatasetDatabase
from .importer import ImportedDataset, import_file
from .stored import DatasetSource

OVERHEAD_BYTES = 64 << 20
"""What a process may take beside DuckDB's memory: answers under way, and Python itself."""
ANSWER_SHARE_OF_MEMORY = 8
"""An answer may be so much smaller than the memory; as Python's objects it takes several times its bytes."""


IMPORT_OVERHEAD_BYTES = 192 << 20
"""The same for an import, which also looks at samples of the file as Python's objects."""
IMPORT_ANSWER_BYTES = 4 << 20

_END_WITH_PARENT = 1
"""PR_SET_PDEATHSIG of Linux's prctl."""


class Reply(NamedTuple):
    """What a process answers."""

    result: Any
    error: Exception | None
    cpu_seconds: float
    """What the process has used since it was forked."""


class QueryServer:
    """Answers the calls of one session until it hangs up."""

    def __init__(self, channel: Connection) -> None:
        """Take calls, each a method's name and its arguments, from `channel`."""
        self._channel = channel
        self._database = DatasetDatabase()
        self._answer_limit = 0

    def serve(self) -> None:
        """Answer until the session, or its whole process, is gone."""
        with suppress(EOFError, BrokenPipeError, ConnectionResetError):
            while True:
                method, arguments = pickle.loads(self._channel.recv_bytes())  # noqa: S301 - our own process
                self._channel.send_bytes(self._answer(method, arguments))

    def open(self, sources: Sequence[DatasetSource], memory_limit_bytes: int) -> dict[str, str]:
        """Limit this process, for good, and open `sources`; raises what `DatasetDatabase.load` does."""
        self._answer_limit = memory_limit_bytes // ANSWER_SHARE_OF_MEMORY
        limit_process(memory_limit_bytes + OVERHEAD_BYTES)
        return self._database.load(sources, memory_limit_bytes=memory_limit_bytes)

    def import_file(
        self, source: Path, destination: Path, filename: str, memory_limit_bytes: int, cpu_seconds: float
    ) -> ImportedDataset:
        """Limit this process, for good, and import a file; raises what `agents.datasets.importer` does."""
        self._answer_limit = IMPORT_ANSWER_BYTES
        limit_process(memory_limit_bytes + IMPORT_OVERHEAD_BYTES)
        limit_cpu(cpu_seconds)
        # Others' questions come first.
        os.nice(5)
        try:
            return import_file(source, destination, filename=filename, memory_limit_bytes=memory_limit_bytes)
        except (MemoryError, duckdb.OutOfMemoryException) as error:
            raise ToolError(OUT_OF_MEMORY) from error

    def _answer(self, method: str, arguments: dict[str, Any]) -> bytes:
        try:
            own: dict[str, Callable[..., Any]] = {"open": self.open, "import_file": self.import_file}
            function = own.get(method) or getattr(self._database, method)
            reply = pickle.dumps(Reply(function(**arguments), None, time.process_time()))
            if len(reply) <= self._answer_limit:
                return reply
            error: Exception = ToolError("The answer takes more memory than it may.")
        except MemoryError:
            error = ToolError(OUT_OF_MEMORY)
        except Exception as caught:  # noqa: BLE001 - told to the session, which raises it
            error = caught
        return pickle.dumps(Reply(None, error, time.process_time()))


def limit_process(more_bytes: int) -> None:
    """Let this process take `more_bytes` beyond what it has, where the system can tell how much that is."""
    with suppress(FileNotFoundError):
        status = Path("/proc/self/status").read_text()
        taken = int(re.findall(r"^VmData:\s+(\d+) kB$", status, re.MULTILINE)[0]) << 10
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        limit = taken + more_bytes if hard == resource.RLIM_INFINITY else min(hard, taken + more_bytes)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        # Should the machine itself run short, no server has to go for it.
        Path("/proc/self/oom_score_adj").write_text("1000")


def limit_cpu(more_seconds: float) -> None:
    """Have the system end this process once it has used so many seconds more, to the next whole one."""
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    limit = math.ceil(time.process_time() + more_seconds)
    limit = limit if hard == resource.RLIM_INFINITY else min(hard, limit)
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))


def end_with(maker_id: int) -> None:
    """Have the system kill this process, busy or not, when the one that forked it ends, where it can."""
    with suppress(AttributeError):
        ctypes.CDLL(None).prctl(_END_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
    # It may have ended before that, when nobody was told.
    if os.getppid() != maker_id:
        os._exit(1)


def make_processes(orders: socket.socket) -> None:
    """Hand out a process for each byte of `orders`; when that ends, end all of them and this program."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    maker_id = os.getpid()
    while True:
        theirs, mine = socket.socketpair()
        process_id = os.fork()
        if not process_id:
            end_with(maker_id)
            orders.close()
            theirs.close()
            with Connection(mine.detach()) as channel:
                QueryServer(channel).serve()
            os._exit(0)
        mine.close()
        if not orders.recv(1):
            # Those of them that are busy would not notice.
            os.killpg(0, signal.SIGKILL)
        socket.send_fds(orders, [str(process_id).encode()], [theirs.fileno()])
        theirs.close()
