"""Comparing how late events arrive that are due at a steady rate."""

from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median, quantiles

from benchmarks.live.cost import Delivery, deliver
from benchmarks.live.effort import Effort
from benchmarks.live.stage import Backstage, Variant, stage

USERS = 50
PER_SECOND = 20.0


def compare_latency(behind: Backstage, *, server: str, effort: Effort) -> None:
    """Emit 20 events a second for each of 50 users."""
    variants = [Variant(application=name, server=server) for name in ("bare", "plain", "netra")]
    rounds: dict[str, list[Delivery]] = {}
    with ExitStack() as stack:
        stages = [stack.enter_context(stage(variant, behind)) for variant in variants]
        for each in stages:
            each.connect_active(USERS)
        for number in range(1 + effort.rounds):
            for each in stages:
                seconds = effort.steady_seconds if number else 0.5
                delivery = deliver(
                    each, "emit_at_rate", times_events=True, per_second=PER_SECOND, seconds=seconds
                )
                if number:
                    rounds.setdefault(each.variant.name, []).append(delivery)
    title = f"From when an event is due to its arrival, {USERS} users × {PER_SECOND:.0f} events/s on {server}"
    print_latencies(title, [Latency.of(name, own) for name, own in rounds.items()], baseline="plain Channels")


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Milliseconds from when an event was due to its arrival: medians over several rounds."""

    name: str
    p50_ms: float
    p99_ms: float
    worst_ms: float
    events: int
    lost: int

    @classmethod
    def of(cls, name: str, rounds: list[Delivery]) -> "Latency":
        """Return the medians of `rounds`."""
        return cls(
            name=name,
            p50_ms=median(median(each.latencies_ms) for each in rounds),
            p99_ms=median(percentile_99(each.latencies_ms) for each in rounds),
            worst_ms=max(max(each.latencies_ms) for each in rounds),
            events=sum(each.emitted for each in rounds),
            lost=sum(each.lost for each in rounds),
        )


def percentile_99(values: list[float]) -> float:
    """Return the value that 99 of 100 do not exceed."""
    return quantiles(values, n=100)[98]


def print_latencies(title: str, latencies: list[Latency], *, baseline: str) -> None:
    """Print a table whose ratios are to the p99 of the row named `baseline`."""
    base = next(latency.p99_ms for latency in latencies if latency.name == baseline)
    print(f"\n### {title} (target: p99 no worse than {baseline})\n")
    print(f"| | events | p50 | p99 | p99 to {baseline} | worst | lost |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for each in latencies:
        print(
            f"| {each.name} | {each.events:,} | {each.p50_ms:,.2f} ms | {each.p99_ms:,.2f} ms "
            f"| {each.p99_ms / base:,.2f} | {each.worst_ms:,.1f} ms | {each.lost:,} |",
            flush=True,
        )
