"""Processes that answer queries: their memory, their CPU time, and their end."""

import contextlib
import os
import pickle
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import psutil
import pytest

from agents.datasets import AnalysisSession, DatasetSource, import_file
from agents.datasets.process_maker import ProcessMaker, get_process_maker
from agents.datasets.query_process import QueryProcess
from agents.datasets.query_server import QueryServer
from contexts.exceptions import ToolError, UnavailableError

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[3]
MEMORY = 256 << 20
ENDLESS = "SELECT count(*) FROM range(1000000000000) a, range(1000000) b"
UNINTERRUPTIBLE = "SELECT max(length(lpad('x', 150000000, 'y'))) FROM range(1000) WHERE random() < 2"
PATIENCE_SECONDS = 30


@pytest.fixture
def source(tmp_path: Path) -> DatasetSource:
    log = tmp_path / "log.csv"
    log.write_text("model,input_tokens,output_tokens\ngpt-4o,10,1\n")
    import_file(log, tmp_path / "log.parquet", filename="log.csv")
    return DatasetSource(
        id="0123456789abcdef",
        name="log",
        path=tmp_path / "log.parquet",
        assumed_model=None,
        time_is_relative=False,
        format="plain_table",
    )


@pytest.fixture
def session(source: DatasetSource) -> Iterator[AnalysisSession]:
    with AnalysisSession([source], memory_limit_bytes=MEMORY) as session:
        yield session


@contextlib.contextmanager
def in_thread(session: AnalysisSession, sql: str) -> Iterator[list[str]]:
    """Ask meanwhile, once the process is busy; afterwards the list has how it ended."""
    problems: list[str] = []

    def ask() -> None:
        try:
            session.query(sql)
        except ToolError as error:
            problems.append(error.message)

    before = session.process.cpu_seconds
    thread = threading.Thread(target=ask)
    thread.start()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while session.process.cpu_seconds < before + 0.1:
        assert time.monotonic() < deadline, "the query does not run"
        time.sleep(0.01)
    yield problems
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()


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


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT string_agg(repeat('x', 1000000) || i) FROM range(2000) t(i)",
        "SELECT max(length(repeat('x', 100000000) || i)) FROM range(20) t(i)",
        "SELECT length(repeat('x', 2000000000))",
        "SELECT max(length(replace(repeat('x', 1000000), 'x', repeat('y', 2000))))",
        "SELECT count(DISTINCT i) FROM range(300000000) t(i)",
        "SELECT "
        + ", ".join(f"repeat('😀', 2000) || i AS c{n}" for n in range(100))
        + " FROM range(201) t(i)",
    ],
    ids=["aggregate", "vector", "one value", "amplified", "hash table", "wide answer"],
)
def test_no_query_takes_more_memory_than_granted(session: AnalysisSession, sql: str) -> None:
    here = psutil.Process().memory_info().rss
    peak = [0, 0]
    process = session.process._process
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.002):
            with contextlib.suppress(psutil.NoSuchProcess):
                peak[0] = max(peak[0], psutil.Process().memory_info().rss)
                peak[1] = max(peak[1], process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        try:
            answer = session.query(sql)
        except ToolError as error:
            assert "memory" in error.message  # noqa: PT017
        else:
            assert answer.truncated
    finally:
        done.set()
        watcher.join()
    assert peak[0] < here + (64 << 20)
    assert peak[1] < MEMORY + (192 << 20)
    assert session.query("SELECT 1").rows == ((1,),)


def test_an_answer_of_many_rows_is_refused_before_it_is_sent(session: AnalysisSession) -> None:
    with pytest.raises(ToolError, match="memory"):
        session.fetch("SELECT hash(i) FROM range(5000000) t(i)")
    assert len(session.fetch("SELECT hash(i) FROM range(50000) t(i)")) == 50_000


@pytest.mark.parametrize("sql", [ENDLESS, UNINTERRUPTIBLE])
def test_whatever_runs_is_stopped_and_nothing_more_is_answered(session: AnalysisSession, sql: str) -> None:
    with in_thread(session, sql) as problems:
        session.process.stop()
    assert problems == ["The analysis was stopped."]
    assert session.process.has_ended
    # The next query of the same work, which the stop did not hit in its course.
    with pytest.raises(ToolError, match="stopped"):
        session.fetch("SELECT 1")
    assert session.process.cpu_seconds >= 0.1


def test_closing_ends_a_query_under_way(session: AnalysisSession) -> None:
    with in_thread(session, ENDLESS) as problems:
        session.close()
    assert problems == ["The analysis was stopped."]


def test_a_process_that_ends_by_itself_is_told_apart(session: AnalysisSession) -> None:
    with in_thread(session, ENDLESS) as problems:
        session.process._process.kill()
    assert "ended by itself" in problems[0]
    assert session.process.has_ended
    with pytest.raises(ToolError, match="stopped"):
        session.fetch("SELECT 1")


def test_the_cpu_time_of_a_process_is_its_own(source: DatasetSource) -> None:
    with (
        AnalysisSession([source], memory_limit_bytes=MEMORY) as busy,
        AnalysisSession([source], memory_limit_bytes=MEMORY) as idle,
    ):
        before = idle.process.cpu_seconds
        with in_thread(busy, ENDLESS):
            busy.close()
        idle.query("SELECT 1")
        assert busy.process.cpu_seconds >= 0.1
        assert idle.process.cpu_seconds < before + 0.1


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
        _wait_until_gone(first_id)
    finally:
        maker.close()
    _wait_until_gone(second_id)


def test_a_busy_process_ends_with_its_killed_maker(source: DatasetSource) -> None:
    maker = get_process_maker()
    with AnalysisSession([source], memory_limit_bytes=MEMORY) as session:
        process_id = session.process._process.pid
        maker_id = session.process._process.ppid()
        with in_thread(session, ENDLESS) as problems:
            os.kill(maker_id, signal.SIGKILL)
        assert "ended by itself" in problems[0]
        assert session.process.has_ended
    _wait_until_gone(process_id)
    with AnalysisSession([source], memory_limit_bytes=MEMORY) as session:
        assert session.process._process.ppid() != maker_id
        assert session.query("SELECT 1").rows == ((1,),)
    assert get_process_maker() is maker


def test_busy_processes_end_though_their_maker_was_killed_before_the_server(source: DatasetSource) -> None:
    with busy_server(source) as (server, process):
        maker = process.parent()
        assert maker is not None
        server.suspend()
        maker.kill()
        server.kill()
        _wait_until_gone(process.pid)


def test_where_no_process_can_be_made_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.datasets.process_maker._PROGRAM", "pass")
    with pytest.raises(UnavailableError):
        ProcessMaker().take()


def test_busy_processes_end_with_a_killed_server(source: DatasetSource) -> None:
    with busy_server(source) as (server, process):
        maker_id = process.ppid()
        server.kill()
        _wait_until_gone(process.pid)
        _wait_until_gone(maker_id)


def test_a_server_answers_until_the_session_hangs_up(source: DatasetSource, monkeypatch) -> None:
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
    monkeypatch.setattr(Path, "write_text", lambda *_: 0)
    mine, theirs = socket.socketpair()
    server = QueryServer(Connection(theirs.detach()))
    thread = threading.Thread(target=server.serve)
    thread.start()
    with Connection(mine.detach()) as channel:

        def call(method, **arguments):
            channel.send_bytes(pickle.dumps((method, arguments)))
            return pickle.loads(channel.recv_bytes())  # noqa: S301 - what was written above

        opened = call("open", sources=(source,), memory_limit_bytes=MEMORY)
        assert opened.result == {source.id: "log"}
        assert opened.cpu_seconds > 0
        assert call("fetch", sql="SELECT 1", parameters=()).result == [(1,)]
        assert isinstance(call("query", sql="nonsense", max_rows=1).error, ToolError)
        large = call("fetch", sql="SELECT repeat('x', ?)", parameters=(MEMORY // 4,))
        assert "memory" in large.error.message
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()


def _wait_until_gone(process_id: int) -> None:
    # One that nobody waits for may stay as an entry of the process table, and runs no more.
    deadline = time.monotonic() + PATIENCE_SECONDS
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(process_id)
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline, "the process still runs"
            time.sleep(0.01)


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
