"""The context manager's figures for Prometheus (text exposition format 0.0.4); no ids."""

from collections.abc import Iterable, Mapping
from dataclasses import fields

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from contexts.manager import get_context_manager

GAUGES = {
    "active": "Execution contexts open now.",
    "peak": "Most execution contexts open at once.",
}
COUNTERS = {
    "created": "Root contexts opened.",
    "children": "Child contexts opened.",
    "closed": "Contexts closed.",
    "rejected_by_limit": "Contexts refused because the user or the process had too many.",
    "refused_by_validation": "Contexts refused because a field was wrong or belonged to another user.",
    "expired": "Contexts closed because their time to live was over.",
    "quarantined": "Contexts stopped after a breach of isolation.",
    "breaches": "Breaches of isolation reported.",
    "failed_callbacks": "Close callbacks that failed.",
}


class ContextCollector(Collector):
    """Reads the figures of this process's manager at each scrape."""

    def collect(self) -> Iterable[Metric]:
        """Yield them, and whether the manager is healthy (1) or not (0)."""
        manager = get_context_manager()
        yield from families("netra_contexts", manager.metrics(), gauges=GAUGES, counters=COUNTERS)
        yield GaugeMetricFamily(
            "netra_contexts_healthy", "1 while all is within bounds.", value=int(manager.health().is_healthy)
        )


def families(
    prefix: str, figures: object, *, gauges: Mapping[str, str], counters: Mapping[str, str]
) -> Iterable[Metric]:
    """Yield a metric for each named field of a dataclass of figures."""
    values = {field.name: getattr(figures, field.name) for field in fields(figures)}  # type: ignore[arg-type]
    for name, text in gauges.items():
        yield GaugeMetricFamily(f"{prefix}_{name}", text, value=values[name])
    for name, text in counters.items():
        yield CounterMetricFamily(f"{prefix}_{name}", text, value=values[name])
