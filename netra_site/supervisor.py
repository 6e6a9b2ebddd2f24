"""Child processes that belong together: started again when one dies, ended together."""

import asyncio
import os
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from contexts.exceptions import UnavailableError
from netra_site.undertaker import STOP_SECONDS

UNDERTAKER = str(Path(__file__).with_name("undertaker.py"))

STEADY_SECONDS = 5.0
"""A process that ends sooner has failed to start."""
ATTEMPTS = 3
UNDERTAKER_PAUSE_SECONDS = 0.1


class Supervisor:
    """Keeps named commands running until told to stop; if it is killed, they end as well."""

    def __init__(
        self,
        commands: Mapping[str, Sequence[str]],
        *,
        environment: Mapping[str, str],
        report: Callable[[str], None],
        steady_seconds: float = STEADY_SECONDS,
        stop_seconds: float = STOP_SECONDS,
    ) -> None:
        """Take the commands by name, variables added to our environment, and where lines of text go.

        A process that has not ended `stop_seconds` after it was told to is killed.
        """
        self._commands = commands
        self._environment = os.environ | dict(environment)
        self._report = report
        self._steady_seconds = steady_seconds
        self._stop_seconds = stop_seconds
        self._processes: dict[str, Process] = {}
        self._undertaker: asyncio.StreamWriter | None = None

    @property
    def process_ids(self) -> dict[str, int]:
        """The ids of the processes that run now, by name."""
        return {name: process.pid for name, process in self._processes.items() if process.returncode is None}

    async def run(self, stop: asyncio.Event) -> None:
        """Keep every command running until `stop` is set, then end them all.

        A process that dies is reported and started again.

        Raises:
            UnavailableError: a process ended three times in a row before it was up; all are ended.
        """
        undertaker = await self._start_undertaker()
        insurance = asyncio.create_task(self._replace_undertaker(undertaker), name="insurance")
        keepers = [asyncio.create_task(self._keep(name), name=name) for name in self._commands]
        stopping = asyncio.create_task(stop.wait(), name="stop")
        try:
            done, _ = await asyncio.wait([stopping, insurance, *keepers], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for tasks in ([stopping, *keepers], [insurance]):
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()

    async def _start_undertaker(self) -> Process:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", UNDERTAKER, str(self._stop_seconds)), stdin=PIPE, start_new_session=True
        )
        self._undertaker = process.stdin
        for process_id in self.process_ids.values():
            self._tell_undertaker(f"+{process_id}")
        return process

    async def _replace_undertaker(self, undertaker: Process) -> None:
        """Start another undertaker when one is killed; cancelled, end the last one."""
        while True:
            try:
                status = await undertaker.wait()
            finally:
                assert undertaker.stdin is not None
                undertaker.stdin.close()
                await undertaker.wait()
            await asyncio.sleep(UNDERTAKER_PAUSE_SECONDS)
            undertaker = await self._start_undertaker()
            self._report(f"the undertaker ended with status {status}; another knows all that runs")

    def _tell_undertaker(self, line: str) -> None:
        # while there is none, its successor is told of all that run
        if self._undertaker is not None and not self._undertaker.is_closing():
            self._undertaker.write(f"{line}\n".encode())

    async def _keep(self, name: str) -> None:
        failures = 0
        while True:
            began = time.monotonic()
            status = await self._run_once(name)
            failures = failures + 1 if time.monotonic() - began < self._steady_seconds else 0
            if failures == ATTEMPTS:
                raise UnavailableError(
                    f"{name} does not start: it ended {ATTEMPTS} times in a row, see above."
                )
            self._report(f"{name} ended with status {status}; starting it again")

    async def _run_once(self, name: str) -> int:
        # a session of its own: Ctrl-C reaches us alone, and we end the processes in order
        process = await asyncio.create_subprocess_exec(
            *self._commands[name],
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
            env=self._environment,
            start_new_session=True,
            limit=2**20,
        )
        self._processes[name] = process
        self._tell_undertaker(f"+{process.pid}")
        try:
            assert process.stdout is not None
            async for line in process.stdout:
                self._report(f"{name} | {line.decode(errors='replace').rstrip()}")
            return await process.wait()
        finally:
            await _end(process, self._stop_seconds)
            self._tell_undertaker(f"-{process.pid}")


async def _end(process: Process, stop_seconds: float) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        # what it still says is read, so that a full pipe cannot keep it from ending
        await asyncio.wait_for(process.communicate(), stop_seconds)
    except TimeoutError:
        process.kill()
        await process.communicate()
