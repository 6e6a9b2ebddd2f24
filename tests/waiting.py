"""Waiting until something holds, for tests of what happens soon and by itself."""

import asyncio
import time
from collections.abc import Callable

from contexts.database import call_in_thread


async def eventually(condition: Callable[[], bool], *, seconds: float = 15) -> None:
    """Wait until a synchronous condition holds."""
    give_up_at = time.monotonic() + seconds
    while not await call_in_thread(condition):
        assert time.monotonic() < give_up_at, f"{condition} does not hold after {seconds} s"
        await asyncio.sleep(0.02)
