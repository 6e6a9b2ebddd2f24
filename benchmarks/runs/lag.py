"""How late an event loop is."""

import asyncio
import time

EVERY_S = 0.01


class LagWatch:
    """Asks to be called every 10 ms, and notes how much later that was; belongs to one event loop."""

    def __init__(self) -> None:
        """Start in the running loop."""
        self._seconds: list[float] = []
        self._task = asyncio.get_running_loop().create_task(self._watch(), name="watch-lag")

    def take(self) -> list[float]:
        """Return the lags in seconds since the last time."""
        seconds, self._seconds = self._seconds, []
        return seconds

    async def _watch(self) -> None:
        while True:
            asked = time.perf_counter()
            await asyncio.sleep(EVERY_S)
            self._seconds.append(max(0.0, time.perf_counter() - asked - EVERY_S))
