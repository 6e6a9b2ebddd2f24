"""An engine factory's figures for Prometheus; no ids."""

from collections.abc import Iterable

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from agents.engine_factory import ExecutionEngineFactory
from contexts.prometheus import families

GAUGES = {"active": "Engines made and not closed."}
COUNTERS = {
    "created": "Engines made.",
    "cleaned": "Engines closed.",
    "rejected_by_limit": "Engines refused because their user had as many as they may have.",
    "creation_errors": "Engines that could not be made because something they need failed.",
    "cleanup_errors": "Engines that failed while they were closed.",
    "timeouts": "Engines whose run took longer than its tier allows.",
    "idle_closed": "Engines closed because they did nothing.",
}


class EngineCollector(Collector):
    """Reads the figures of one factory at each scrape."""

    def __init__(self, engines: ExecutionEngineFactory) -> None:
        """Read the figures of `engines`."""
        self._engines = engines

    def collect(self) -> Iterable[Metric]:
        """Yield them."""
        yield from families("netra_engines", self._engines.metrics(), gauges=GAUGES, counters=COUNTERS)
