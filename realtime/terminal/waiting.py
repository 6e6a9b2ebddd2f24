"""What the question at the terminal waits for, asked again until its run begins."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from contexts.exceptions import NetraError
from contexts.tasks import end_task
from realtime.terminal.api import ServerApi

logger = logging.getLogger(__name__)

ASK_EVERY_S = 3.0

ShowWait = Callable[[dict[str, Any]], None]
"""Is given a queued run's `position` and `waiting_for`, each time anew."""


def waiting_words(wait: dict[str, Any]) -> str:
    """Return in words what a run with this `position` and `waiting_for` waits for."""
    position = wait.get("position") or 0
    if wait.get("waiting_for") == "worker":
        return "No worker is running: your question is kept and is answered as soon as one starts"
    if position > 1:
        questions = "1 of your questions is" if position == 2 else f"{position - 1} of your questions are"
        return f"Waiting: {questions} before this one"
    return "Waiting, next in line" if position == 1 else "Waiting for a free worker"


class WaitWatch:
    """Asks the server about one queued run every few seconds; `end` stops that."""

    def __init__(
        self, api: ServerApi, token: str, *, show: ShowWait, every_seconds: float = ASK_EVERY_S
    ) -> None:
        """Ask as whoever the token was given to, and `show` each answer."""
        self._api = api
        self._token = token
        self._show = show
        self._every_seconds = every_seconds
        self._task: asyncio.Task[None] | None = None

    def begin(self, run_id: UUID) -> None:
        """Ask about this run from now on, unless that is done already."""
        if self._task is None:
            self._task = asyncio.create_task(self._ask(run_id), name="ask-what-is-waited-for")

    async def end(self) -> None:
        """Ask no more."""
        if self._task is not None:
            await end_task(self._task)

    async def _ask(self, run_id: UUID) -> None:
        while True:
            await asyncio.sleep(self._every_seconds)
            try:
                run = await self._api.read_run(run_id, self._token)
            except NetraError as error:
                # The socket tells what is wrong; here only a line of progress stays as it was.
                logger.debug("What run %s waits for is not known now: %s", run_id, error)
                continue
            if run["status"] != "queued":
                return
            self._show(run)


@asynccontextmanager
async def watched_wait(
    api: ServerApi, token: str, *, show: ShowWait | None
) -> AsyncIterator[WaitWatch | None]:
    """Yield a watch that has ended when the block does; none where nobody is to be shown."""
    watch = WaitWatch(api, token, show=show) if show is not None else None
    try:
        yield watch
    finally:
        if watch is not None:
            await watch.end()
