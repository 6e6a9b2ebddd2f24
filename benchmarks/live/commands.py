"""How the benchmark speaks with the processes it starts: JSON lines on their standard input and output."""

import asyncio
import json
import os
import queue
import subprocess
import sys
import threading
import traceback
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 300.0
LOG_TAIL = 3_000

Handler = Callable[..., Awaitable[Any]]


class HelperError(RuntimeError):
    """A process of the benchmark could not do what it was asked."""


def serve_commands(handlers: Mapping[str, Handler], loop: asyncio.AbstractEventLoop) -> None:
    """Answer commands in `loop`, from a thread, until the input ends: then this process ends at once.

    So no process outlives the benchmark, however that ends.
    """
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    # Whatever else is printed here must not come between the answers.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def work() -> None:
        try:
            for line in sys.stdin:
                request = json.loads(line)
                try:
                    called = handlers[request["command"]](**request["arguments"])
                    answer = {"result": asyncio.run_coroutine_threadsafe(_await(called), loop).result()}
                except Exception:  # noqa: BLE001 - whoever asked is told
                    answer = {"error": traceback.format_exc()}
                answers.write(json.dumps(answer) + "\n")
        finally:
            os._exit(0)

    threading.Thread(target=work, name="commands", daemon=True).start()


async def _await(called: Awaitable[Any]) -> Any:
    return await called


class Helper:
    """A process started by the benchmark, from the benchmark's end; ends with the `with` block."""

    def __init__(self, module: str, *arguments: str, log: Path, environment: Mapping[str, str]) -> None:
        """Start `python -m module`, whose own output goes to `log`."""
        self._module, self._log = module, log
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                cwd=ROOT,
                env=os.environ | environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                # Ctrl-C goes to the benchmark, which ends this one
                start_new_session=True,
            )
        self._answers: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def pid(self) -> int:
        """Return the process's id."""
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def begin(self, command: str, **arguments: Any) -> None:
        """Ask for something whose answer is fetched by `answer` later."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"command": command, "arguments": arguments}) + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise self._failure("has ended") from error

    def answer(self, *, patience_s: float = PATIENCE_S) -> Any:
        """Return the answer to the oldest request that has none yet.

        Raises:
            HelperError: when there is none in `patience_s` seconds, or it says that something failed.
        """
        try:
            line = self._answers.get(timeout=patience_s)
        except queue.Empty:
            raise self._failure(f"does not answer within {patience_s:.0f} s") from None
        if line is None:
            raise self._failure("has ended")
        answer = json.loads(line)
        if "error" in answer:
            raise self._failure(f"failed:\n{answer['error']}")
        return answer["result"]

    def ask(self, command: str, **arguments: Any) -> Any:
        """Ask, and return the answer.

        Raises:
            HelperError: as `answer` does.
        """
        self.begin(command, **arguments)
        return self.answer()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    continue  # what was still to be written has no reader

    def _read(self) -> None:
        assert self._process.stdout is not None
        try:
            for line in self._process.stdout:
                self._answers.put(line)
        except ValueError:
            pass  # closed meanwhile
        self._answers.put(None)

    def _failure(self, what: str) -> HelperError:
        tail = self._log.read_text(errors="replace")[-LOG_TAIL:]
        return HelperError(f"{self._module} {what}\n--- {self._log.name}:\n{tail}")
