"""The block that one run's code runs in, so that whatever it does ends only that run."""

import asyncio
import logging
import traceback
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Self
from uuid import UUID

from agents.interruption import Interruptible
from contexts.exceptions import RunFailedError

logger = logging.getLogger(__name__)

_guard: ContextVar["RunGuard | None"] = ContextVar("netra_run_guard", default=None)


def current_guard() -> "RunGuard | None":
    """Return the guard of the run whose code, task or callback is asking; none outside of any."""
    return _guard.get()


class RunStalledError(BaseException):
    """Raised in the midst of code that keeps the event loop; no `Exception`, for those are often caught."""


class RunGuard:
    """The block that one run's code runs in: `async with RunGuard(run_id): …`.

    Whatever that code does, and the tasks and callbacks that come of it, only the block ends. It raises
    `RunFailedError`: `stalled` when the loop's watch found that the code kept the loop from coming round,
    `out_of_memory` when it needed more memory than the process may take, `internal` when it tried to end the
    process. Other errors and cancellations pass.
    """

    def __init__(self, run_id: UUID | str | None) -> None:
        """Name the run, for the log."""
        self.run_id = run_id
        self.is_stalled = False
        """Whether its code was found to stall the loop."""
        self._work = Interruptible()
        self._token: Token[RunGuard | None] | None = None

    async def __aenter__(self) -> Self:
        await self._work.__aenter__()
        self._token = _guard.set(self)
        return self

    def end_stalled(self) -> None:
        """End the block, if it has not ended, also when the code swallowed the error; called by the watch."""
        self._work.interrupt(_stalled())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._token is not None
        _guard.reset(self._token)
        await self._work.__aexit__(kind, error, trace)
        if isinstance(error, asyncio.CancelledError):
            return
        if self.is_stalled:
            raise _stalled() from None
        if error is None:
            return
        if _is_of_memory(error):
            _free(error)
            raise RunFailedError(
                "The run needed more memory than there is.", code="out_of_memory", retryable=True
            ) from None
        if not isinstance(error, Exception):
            logger.error("Run %s was ended by a %s of its code", self.run_id, type(error).__name__)
            raise RunFailedError("Something went wrong inside Netra.", code="internal", retryable=True)


def _stalled() -> RunFailedError:
    return RunFailedError(
        "The run was stopped: its code kept everything else from going on.", code="stalled", retryable=False
    )


def _is_of_memory(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return any(_is_of_memory(part) for part in error.exceptions)
    return isinstance(error, MemoryError)


def _free(error: BaseException) -> None:
    """Let go of what the code that raised has in its variables."""
    for part in error.exceptions if isinstance(error, BaseExceptionGroup) else (error,):
        traceback.clear_frames(part.__traceback__)
