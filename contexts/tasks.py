"""Ending tasks for sure."""

import asyncio
import logging
from typing import Any

logger = logging.getLogger(__name__)

AGAIN_S = 0.1


async def end_task(task: "asyncio.Task[Any]") -> None:
    """Cancel a task until it has ended: what it awaits may swallow a cancellation, as network clients do.

    What it raised is logged.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=AGAIN_S)
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("The task %s failed as it was ended", task.get_name(), exc_info=error)
