"""Ending a task's work from outside with an error, and finishing what must not be cut short."""

import asyncio
from collections.abc import Awaitable
from types import TracebackType
from typing import Any, Self

PATIENCE_SECONDS = 3.0
"""How long the end of work that was interrupted is waited for."""


class Interruptible:
    """Work of one task that others may end with an error: `async with Interruptible() as work: …`.

    The block is cancelled as `asyncio.timeout` does it, so that a cancellation from elsewhere is
    still seen as one.
    """

    def __init__(self) -> None:
        """Wait to be entered."""
        self._task: asyncio.Task[Any] | None = None
        self._cancelling = 0
        self._error: Exception | None = None

    async def __aenter__(self) -> Self:
        if self._error is not None:
            raise self._error
        self._task = asyncio.current_task()
        assert self._task is not None
        self._cancelling = self._task.cancelling()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        if self._error is None or task is None:
            return
        if task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise self._error from self._error.__cause__

    def interrupt(self, error: Exception) -> None:
        """End the work with `error`; only the first call counts, and none after the end.

        Belongs to the work's event loop, but not to the working task itself.
        """
        if self._error is None:
            self._error = error
            if self._task is not None:
                self._task.cancel()


async def finish_all(*works: Awaitable[Any]) -> None:
    """Await every one of `works`, also when cancelled meanwhile; then raise the first error, if any."""
    together = asyncio.ensure_future(asyncio.gather(*works, return_exceptions=True))
    try:
        results = await asyncio.shield(together)
    except asyncio.CancelledError:
        await asyncio.wait([together])
        raise
    for result in results:
        if isinstance(result, BaseException):
            raise result
