"""The maker of query processes: what it hands out, its own end, and theirs."""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from agents.datasets import DatasetSource
from agents.datasets.process_maker import ProcessMaker, get_process_maker
from agents.datasets.query_process import QueryProcess
from contexts.exceptions import UnavailableError
from tests.agents.process_ends import PATIENCE_SECONDS, wait_until_gone

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[3]
ENDLESS = "SELECT count(*) FROM range(1000000000000) a, range(1000000) b"


@contextlib.contextmanager
def busy_server(source: DatasetSource) -> Iterator[tuple[psutil.Process, psutil.Process]]:
    """Give a server, to be killed, and its process, which runs an endless query."""
    program = (
        "import sys, pathlib, pickle; from agents.datasets import AnalysisSession\n"
        "session = AnalysisSession([pickle.load(sys.stdin.buffer)], memory_limit_bytes=2**28)\n"
        "print(session.process._process.pid, flush=True)\n"
        f"session.query({ENDLESS!r})"
    )
    server = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with server:
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(pickle.dumps(source))
        server.stdin.close()
        process = psutil.Process(int(server.stdout.readline()))
        before = sum(process.cpu_times()[:2])
        deadline = time.monotonic() + PATIENCE_SECONDS
        while sum(process.cpu_times()[:2]) < before + 0.2:
            assert time.monotonic() < deadline, "the query does not run"
            time.sleep(0.01)
        try:
            yield psutil.Process(server.pid), process
        finally:
            server.kill()
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


def test_a_process_has_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETRA_TEST_SECRET", "hush")
    maker = ProcessMaker()
    try:
        process_id, channel = maker.take()
        with channel:
            assert "NETRA_TEST_SECRET" not in psutil.Process(process_id).environ()
    finally:
        maker.close()


def test_a_killed_maker_is_started_again() -> None:
    maker = ProcessMaker()
    try:
        first_id, first = maker.take()
        os.kill(psutil.Process(first_id).ppid(), signal.SIGKILL)
        second_id, second = maker.take()
        assert psutil.pid_exists(second_id)
        first.close()
        second.close()
        wait_until_gone(first_id)
    finally:
        maker.close()
    wait_until_gone(second_id)


def test_busy_processes_end_though_their_maker_was_killed_before_the_server(source: DatasetSource) -> None:
    with busy_server(source) as (server, process):
        maker = process.parent()
        assert maker is not None
        server.suspend()
        maker.kill()
        server.kill()
        wait_until_gone(process.pid)


def test_where_no_process_can_be_made_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.datasets.process_maker._PROGRAM", "pass")
    with pytest.raises(UnavailableError):
        ProcessMaker().take()


def test_busy_processes_end_with_a_killed_server(source: DatasetSource) -> None:
    with busy_server(source) as (server, process):
        maker_id = process.ppid()
        server.kill()
        wait_until_gone(process.pid)
        wait_until_gone(maker_id)


def test_processes_are_made_by_one_maker_of_the_server() -> None:
    assert get_process_maker() is get_process_maker()
    first, second = QueryProcess(), QueryProcess()
    try:
        assert first._process.ppid() == second._process.ppid()
    finally:
        first.close()
        second.close()


def test_what_makes_processes_loads_nothing_that_knows_the_database() -> None:
    program = "import sys, agents.datasets.query_server; print('django' in sys.modules)"
    printed = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=True
    ).stdout
    assert printed == b"False\n"
