"""Processes that belong together are kept running, and end together."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil
import pytest

from contexts.exceptions import UnavailableError
from netra_site.supervisor import UNDERTAKER, Supervisor
from netra_site.undertaker import end_processes, read_processes

STEADY = [
    sys.executable,
    "-c",
    "import os, time; print('up', os.environ['WORD'], flush=True); time.sleep(600)",
]
FAILING = [sys.executable, "-c", "print('the port is in use'); raise SystemExit(3)"]
SUPERVISING = """
import asyncio, json, sys
from netra_site.supervisor import Supervisor
commands, environment = json.loads(sys.argv[1])
show = lambda line: print(line, flush=True)
asyncio.run(Supervisor(commands, environment=environment, report=show).run(asyncio.Event()))
"""


class Reports:
    """The lines that a supervisor has written so far, and a way to wait for one."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._changed = asyncio.Event()

    def __call__(self, line: str) -> None:
        self.lines.append(line)
        self._changed.set()

    async def until(self, condition: Callable[[list[str]], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition(self.lines):
                self._changed.clear()
                await self._changed.wait()


@asynccontextmanager
async def running(supervisor: Supervisor) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(supervisor.run(stop))
    try:
        yield
    finally:
        stop.set()
        await task


async def test_all_processes_end_when_told_to_stop() -> None:
    reports = Reports()
    supervisor = Supervisor({"a": STEADY, "b": STEADY}, environment={"WORD": "now"}, report=reports)
    async with running(supervisor):
        await reports.until(lambda lines: {"a | up now", "b | up now"} <= set(lines))
        ids = set(supervisor.process_ids.values())
        assert len(ids) == 2
    assert supervisor.process_ids == {}
    assert not any(psutil.pid_exists(process_id) for process_id in ids)


async def test_a_killed_process_is_reported_and_started_again_and_the_other_left_alone() -> None:
    reports = Reports()
    supervisor = Supervisor({"a": STEADY, "b": STEADY}, environment={"WORD": "now"}, report=reports)
    async with running(supervisor):
        await reports.until(lambda lines: {"a | up now", "b | up now"} <= set(lines))
        before = supervisor.process_ids
        os.kill(before["a"], signal.SIGKILL)
        await reports.until(lambda lines: lines.count("a | up now") == 2)
        after = supervisor.process_ids
        assert "a ended with status -9; starting it again" in reports.lines
        assert after["a"] != before["a"]
        assert after["b"] == before["b"]


async def test_a_process_that_never_starts_ends_them_all_with_its_own_words() -> None:
    reports = Reports()
    supervisor = Supervisor({"a": STEADY, "b": FAILING}, environment={"WORD": "now"}, report=reports)
    with pytest.raises(UnavailableError, match="b does not start"):
        await supervisor.run(asyncio.Event())
    assert reports.lines.count("b | the port is in use") == 3
    assert supervisor.process_ids == {}


async def test_a_process_that_will_not_end_is_killed() -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True)"
    deaf = [sys.executable, "-c", f"{code}; time.sleep(600)"]
    reports = Reports()
    supervisor = Supervisor({"a": deaf}, environment={}, report=reports, stop_seconds=0.3)
    async with running(supervisor):
        await reports.until(lambda lines: "a | deaf" in lines)
        process_id = supervisor.process_ids["a"]
    assert not psutil.pid_exists(process_id)


def ended(process_id: int) -> bool:
    """Tell whether the process is no more, or waits only for its parent to notice."""
    try:
        return bool(psutil.Process(process_id).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def undertaker_of(supervising: "subprocess.Popen[str]") -> psutil.Process:
    """Return the process that will end the others, waiting for it."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        for child in psutil.Process(supervising.pid).children():
            with suppress(psutil.Error):
                if UNDERTAKER in child.cmdline():
                    return child
        time.sleep(0.02)
    raise AssertionError("there is no undertaker")


@pytest.mark.parametrize("is_insured_again", [False, True], ids=["", "and its first undertaker"])
def test_the_processes_of_a_killed_supervisor_end(is_insured_again: bool) -> None:
    with_child = (
        "import os, subprocess, sys, time; child = subprocess.Popen([sys.executable, '-c', 'import time;"
        " time.sleep(600)']); print(os.getpid(), child.pid, flush=True); time.sleep(600)"
    )
    commands = {name: [sys.executable, "-c", with_child] for name in ("a", "b")}
    with subprocess.Popen(
        [sys.executable, "-c", SUPERVISING, json.dumps([commands, {}])],
        cwd=Path(__file__).resolve().parents[2],
        stdout=subprocess.PIPE,
        text=True,
    ) as supervising:
        assert supervising.stdout is not None
        lines = [supervising.stdout.readline() for _ in commands]
        ids = [int(word) for line in lines for word in line.split("|")[1].split()]
        assert len(ids) == 4
        assert not any(map(ended, ids))
        if is_insured_again:
            undertaker_of(supervising).kill()
            assert "undertaker ended with status -9; another" in supervising.stdout.readline()
        supervising.kill()
    deadline = time.monotonic() + 10
    while not all(map(ended, ids)):
        assert time.monotonic() < deadline, "they were left running"
        time.sleep(0.02)


def test_the_undertaker_ends_what_was_not_told_to_have_ended() -> None:
    assert read_processes(["+11\n", "+12\n", "-11\n", "+13\n"]) == {12, 13}


def test_the_undertaker_kills_what_will_not_end() -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True)"
    with subprocess.Popen(
        [sys.executable, "-c", f"{code}; time.sleep(600)"], stdout=subprocess.PIPE, start_new_session=True
    ) as deaf:
        assert deaf.stdout is not None
        assert deaf.stdout.readline() == b"deaf\n"
        end_processes({deaf.pid}, stop_seconds=0.2)
        assert deaf.wait() == -signal.SIGKILL
