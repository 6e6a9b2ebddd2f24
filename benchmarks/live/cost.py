"""What an event costs: CPU per delivered event, and how many a second are delivered at most."""

from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.live.stage import Stage, Usage


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """What became of the events of one round."""

    emitted: int
    received: int
    misplaced: int
    foreign: int
    seconds: float
    """From the first event's emission to the last one's arrival."""
    usage: Usage
    latencies_ms: list[float]

    @property
    def lost(self) -> int:
        """Return how many never came."""
        return self.emitted - self.received

    def per_event(self, seconds: float) -> float:
        """Return CPU seconds as microseconds per delivered event."""
        return seconds * 1e6 / max(self.received, 1)


def deliver(stage: Stage, command: str = "emit", *, times_events: bool = False, **arguments: Any) -> Delivery:
    """Have events emitted and wait until what arrives has arrived."""
    stage.client.ask("count_anew", group="active", times_events=times_events)
    before = stage.usage()
    emission = stage.emit(command, **arguments)
    emitted = sum(emission["emitted"])
    arrival = stage.client.ask("settle", group="active", expected=emitted)
    usage = stage.usage().since(before)
    if arrival["foreign"]:
        raise RuntimeError(f"{stage.variant.name}: {arrival['foreign']} events reached another user.")
    if stage.variant.application == "netra" and (arrival["misplaced"] or arrival["received"] != emitted):
        raise RuntimeError(f"Netra lost or misplaced events: {emitted} emitted, {_counts(arrival)}.")
    return Delivery(
        emitted=emitted,
        received=arrival["received"],
        misplaced=arrival["misplaced"],
        foreign=arrival["foreign"],
        seconds=(arrival["last_at_ns"] - emission["began_ns"]) / 1e9,
        usage=usage,
        latencies_ms=[latency / 1e6 for latency in arrival["latencies_ns"]],
    )


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Medians over several rounds of one variant."""

    name: str
    python_us: float
    postgres_us: float
    redis_us: float
    events_a_second: float
    lost_share: float

    @classmethod
    def of(cls, name: str, rounds: list[Delivery]) -> "Cost":
        """Return the medians of `rounds`."""
        return cls(
            name=name,
            python_us=median(each.per_event(each.usage.python) for each in rounds),
            postgres_us=median(each.per_event(each.usage.postgres) for each in rounds),
            redis_us=median(each.per_event(each.usage.redis) for each in rounds),
            events_a_second=median(each.received / each.seconds for each in rounds),
            lost_share=sum(each.lost for each in rounds) / sum(each.emitted for each in rounds),
        )


def print_costs(title: str, costs: list[Cost], *, baseline: str) -> None:
    """Print a table whose ratios are to the Python CPU of the row named `baseline`."""
    base = next(cost.python_us for cost in costs if cost.name == baseline)
    print(f"\n### {title}\n")
    print(f"| | Python CPU per event | ratio to {baseline} | PostgreSQL's | Redis's | events/s | lost |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for cost in costs:
        print(
            f"| {cost.name} | {cost.python_us:,.1f} µs | {cost.python_us / base:,.2f} "
            f"| {cost.postgres_us:,.1f} µs | {cost.redis_us:,.1f} µs | {cost.events_a_second:,.0f} "
            f"| {cost.lost_share:.1%} |",
            flush=True,
        )


def _counts(arrival: dict[str, Any]) -> str:
    return ", ".join(f"{arrival[name]} {name}" for name in ("received", "misplaced", "closed"))
