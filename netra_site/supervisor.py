"""Child processes that belong together: started again when one dies, ended together."""

import asyncio
import os
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from contexts.exceptions import UnavailableError
from netra_site import undertaker
from netra_site.undertaker import STOP_SECONDS

STEADY_SECONDS = 5.0
"""A process that ends sooner has failed to start."""
ATTEMPTS = 3


class Supervisor:
    """Keeps named commands running until told to stop; if it is killed, they end as well."""

    def __init__(
        self,
        commands: Mapping[str, Sequence[str]],
        *,
        environment: Mapping[str, str],
        report: Callable[[str], None],
        steady_seconds: float = STEADY_SECONDS,
    ) -> None:
        """Take the commands by name, variables added to our environment, and where lines of text go."""
        self._commands = commands
        self._environment = os.environ | dict(environment)
        self._report = report
        self._steady_seconds = steady_seconds
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
        async with self._insured():
            keepers = [asyncio.create_task(self._keep(name), name=name) for name in self._commands]
            stopping = asyncio.create_task(stop.wait(), name="stop")
            try:
                done, _ = await asyncio.wait([stopping, *keepers], return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (stopping, *keepers):
                    task.cancel()
                await asyncio.gather(stopping, *keepers, return_exceptions=True)
        for task in done:
            task.result()

    @asynccontextmanager
    async def _insured(self) -> AsyncIterator[None]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", undertaker.__file__, stdin=PIPE, start_new_session=True
        )
        self._undertaker = process.stdin
        try:
            yield
        finally:
            assert process.stdin is not None
            process.stdin.close()
            if status := await process.wait():
                self._report(f"the undertaker ended with status {status}")

    def _tell_undertaker(self, line: str) -> None:
        assert self._undertaker is not None
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
            await _end(process)
            self._tell_undertaker(f"-{process.pid}")


async def _end(process: Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        # what it still says is read, so that a full pipe cannot keep it from ending
        await asyncio.wait_for(process.communicate(), STOP_SECONDS)
    except TimeoutError:
        process.kill()
        await process.communicate()
