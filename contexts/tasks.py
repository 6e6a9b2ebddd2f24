"""Ending tasks for sure."""

import asyncio
from typing import Any

AGAIN_S = 0.1


async def end_task(task: "asyncio.Task[Any]") -> None:
    """Cancel a task until it has ended: what it awaits may swallow a cancellation, as network clients do.

    What it raised is not told.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=AGAIN_S)
    if not task.cancelled():
        task.exception()
