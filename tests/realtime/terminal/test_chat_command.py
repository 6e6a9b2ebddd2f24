"""The command `chat`, as a process against a real server."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from realtime.protocol import SERVER_FRAMES
from tests.servers import ROOT, ServerProcess, database_url

pytestmark = pytest.mark.e2e

LOG = "TIMESTAMP,ContextTokens,GeneratedTokens\n" + "".join(
    f"2023-11-16 18:{minute:02}:00.0000000,{1_000 + minute},100\n" for minute in range(30)
)


def start(server: ServerProcess, *arguments: str, **variables: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "manage.py", "chat", *arguments],
        cwd=ROOT,
        env={**server.environment, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def chat(server: ServerProcess, *arguments: str, **variables: str) -> tuple[int, str, str]:
    """Run the command; return its exit status, standard output and standard error."""
    process = start(server, *arguments, **variables)
    output, error = process.communicate(timeout=90)
    return process.returncode, output, error


def frames_of(output: str) -> list[dict[str, Any]]:
    frames = [json.loads(line) for line in output.splitlines()]
    for frame in frames:
        SERVER_FRAMES.validate_python(frame)
    return frames


def test_a_question_with_a_dataset_is_answered_frame_by_frame(server: ServerProcess, tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text(LOG)
    status, output, error = chat(
        server,
        "Where does our AI spend go, and how do we cut it?",
        *(
            "--user",
            "alice",
            "--url",
            server.url,
            "--dataset",
            str(log),
            "--assume-model",
            "gpt-4o",
            "--json",
        ),
    )
    assert (status, error) == (0, "")
    frames = frames_of(output)
    assert [frame["type"] for frame in frames[:2]] == ["connection_established", "ack"]
    events = [frame for frame in frames if "seq" in frame]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    kinds = list(dict.fromkeys(event["type"] for event in events))
    five = ["agent_started", "agent_thinking", "tool_executing", "tool_completed", "agent_completed"]
    assert [kind for kind in kinds if kind in five] == five
    assert frames[-1] == events[-1]
    assert "30 requests" in frames[-1]["data"]["final_response"]
    assert frames[-1]["data"]["recommendations"]
    thread_id = frames[1]["thread_id"]
    status, output, _ = chat(
        server, "What can you do?", "--user", "alice", "--url", server.url, "--thread", thread_id, "--json"
    )
    assert status == 0
    assert {frame["thread_id"] for frame in frames_of(output) if "seq" in frame} == {thread_id}
    status, output, error = chat(
        server, "Mine?", "--user", "carol", "--url", server.url, "--thread", thread_id, "--json"
    )
    assert (status, error) == (1, "CommandError: There is no such conversation.\n")
    assert [frame["type"] for frame in frames_of(output)] == ["connection_established", "error"]


def test_a_person_sees_progress_and_the_answer(server: ServerProcess) -> None:
    status, output, error = chat(server, "What can you do?", "--user", "bob", "--url", server.url)
    assert status == 0
    assert "list_datasets" in error
    assert "answered in" in error
    assert "spend" in output
    assert "{" not in output


def test_a_password_signs_in(server: ServerProcess) -> None:
    arguments = ("What can you do?", "--user", "carol", "--url", server.url)
    assert chat(server, *arguments, NETRA_PASSWORD="netra-demo")[0] == 0
    status, output, error = chat(server, *arguments, NETRA_PASSWORD="wrong")
    assert (status, output) == (1, "")
    assert error.endswith("CommandError: No active account has this username and password.\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--user", "nobody", "--url", "{url}"], "There is no user 'nobody'"),
        (
            ["--user", "alice", "--url", "http://127.0.0.1:1"],
            "No Netra server answers at http://127.0.0.1:1.",
        ),
        (["--user", "alice", "--url", "ftp://here"], "'ftp://here' is no address of a server"),
        (["--user", "alice", "--url", "{url}", "--thread", "mine"], "'mine' is no thread id."),
        (
            ["--user", "alice", "--url", "{url}", "--assume-model", "gpt-4o"],
            "--assume-model goes with --dataset.",
        ),
        (
            ["--user", "alice", "--url", "{url}", "--dataset", "{folder}/none.csv"],
            "cannot be read: No such file",
        ),
        (
            ["--user", "alice", "--url", "{url}", "--dataset", "{folder}/bytes.csv"],
            "has to be CSV, JSON or JSON Lines",
        ),
    ],
)
def test_what_goes_wrong_is_said_in_one_line(
    server: ServerProcess, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "bytes.csv").write_bytes(bytes(range(128, 256)) * 8)
    filled = [part.format(url=server.url, folder=tmp_path) for part in arguments]
    status, output, error = chat(server, "Hello", *filled, "--json")
    assert (status, output) == (1, "")
    assert error.count("\n") == 1, error
    assert message in error


@pytest.fixture
def idle_server(tmp_path: Path, django_db_setup: None) -> Iterator[ServerProcess]:
    """Yield a server without a worker, on a database of its own: its runs wait."""
    address = database_url("netra_idle")
    environment = os.environ | {"DATABASE_URL": address, "NETRA_DATA_DIR": str(tmp_path)}
    environment["DJANGO_SETTINGS_MODULE"] = "netra_site.settings"
    options = ("--port", "0", "--migrate", "--seed-demo", "--no-worker")
    process = subprocess.Popen(
        [sys.executable, "manage.py", "serve", *options],
        cwd=ROOT,
        env=environment | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    said = next(line for line in process.stdout if line.startswith("Netra is at "))
    url = said.split()[-1].rstrip("/").replace("localhost", "127.0.0.1")
    yield ServerProcess(url=url, database_url=address, process=process, environment=environment)
    process.terminate()
    process.wait(30)
    process.stdout.close()


def test_ctrl_c_cancels_the_run(idle_server: ServerProcess) -> None:
    process = start(idle_server, "Hello", "--user", "alice", "--url", idle_server.url, "--json")
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(3)]
    queued = json.loads(lines[2])
    assert (queued["type"], queued["data"]["waiting_for"]) == ("run_queued", "worker")
    process.send_signal(signal.SIGINT)
    output, error = process.communicate(timeout=30)
    kinds = [json.loads(line)["type"] for line in output.splitlines()]
    assert "run_cancelled" in kinds
    assert (process.returncode, error) == (1, "CommandError: The run was cancelled by user.\n")


def test_a_person_is_told_that_no_worker_runs_and_then_that_one_does(idle_server: ServerProcess) -> None:
    process = start(idle_server, "Hello", "--user", "alice", PORT=idle_server.url.rsplit(":", 1)[1])
    assert process.stderr is not None
    line_of(process.stderr, "No worker is running")
    assert not _servers_started_by(process.pid)
    with idle_server.database() as rows:
        rows.execute("INSERT INTO procrastinate_workers DEFAULT VALUES")
        # The second of two, so that there is something to say that the events do not.
        rows.execute("UPDATE agents_run SET job_id = NULL")
        line_of(process.stderr, "Waiting, next in line")
    process.send_signal(signal.SIGINT)
    output, error = process.communicate(timeout=30)
    assert (process.returncode, output) == (1, "")
    assert error.endswith("CommandError: The run was cancelled by user.\n")


def line_of(lines: Iterable[str], words: str) -> str:
    return next(line for line in lines if words in line)


def test_without_a_server_one_is_started_and_stopped_again(server: ServerProcess) -> None:
    # a port at which nothing listens, so that the running server of the fixture is not found
    process = start(server, "What can you do?", "--user", "alice", "--json", PORT="1")
    children = _wait_for_started_servers(process)
    output, error = process.communicate(timeout=90)
    assert process.returncode == 0, error
    assert frames_of(output)[-1]["type"] == "agent_completed"
    assert not any(map(psutil.pid_exists, children))


def test_an_interrupted_command_stops_the_server_it_started(server: ServerProcess) -> None:
    process = start(server, "What can you do?", "--user", "alice", "--json", PORT="1")
    children = _wait_for_started_servers(process)
    process.send_signal(signal.SIGTERM)
    output, error = process.communicate(timeout=60)
    assert (process.returncode, output, error) == (1, "", "CommandError: Interrupted.\n")
    assert not any(map(psutil.pid_exists, children))


def test_the_running_server_is_found_by_its_port(server: ServerProcess) -> None:
    port = server.url.rsplit(":", 1)[1]
    process = start(server, "What can you do?", "--user", "alice", "--json", PORT=port)
    started = []
    while process.poll() is None:
        started += _servers_started_by(process.pid)
        time.sleep(0.05)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert frames_of(output)[-1]["type"] == "agent_completed"
    assert not started


def _wait_for_started_servers(process: "subprocess.Popen[str]") -> list[int]:
    while process.poll() is None:
        children = _servers_started_by(process.pid)
        if children:
            return children
        time.sleep(0.05)
    raise AssertionError("The command started no server.")


def _servers_started_by(process_id: int) -> list[int]:
    try:
        children = psutil.Process(process_id).children()
        return [child.pid for child in children if "serve" in child.cmdline()]
    except psutil.Error:
        return []
