"""Processes that answer queries: their memory, their CPU time, and their end."""

import contextlib
import os
import pickle
import resource
import signal
import socket
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import psutil
import pytest

from agents.datasets import AnalysisSession, DatasetSource
from agents.datasets.process_maker import get_process_maker
from agents.datasets.query_server import QueryServer
from contexts.exceptions import ToolError
from tests.agents.process_ends import PATIENCE_SECONDS, wait_until_gone

pytestmark = pytest.mark.unit

MEMORY = 256 << 20
ENDLESS = "SELECT count(*) FROM range(1000000000000) a, range(1000000) b"
UNINTERRUPTIBLE = "SELECT max(length(lpad('x', 150000000, 'y'))) FROM range(1000) WHERE random() < 2"


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


def test_a_busy_process_ends_with_its_killed_maker(source: DatasetSource) -> None:
    maker = get_process_maker()
    with AnalysisSession([source], memory_limit_bytes=MEMORY) as session:
        process_id = session.process._process.pid
        maker_id = session.process._process.ppid()
        with in_thread(session, ENDLESS) as problems:
            os.kill(maker_id, signal.SIGKILL)
        assert "ended by itself" in problems[0]
        assert session.process.has_ended
    wait_until_gone(process_id)
    with AnalysisSession([source], memory_limit_bytes=MEMORY) as session:
        assert session.process._process.ppid() != maker_id
        assert session.query("SELECT 1").rows == ((1,),)
    assert get_process_maker() is maker


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
