"""Comparing what one slow reader of very many events does to the others, and what it misses itself."""

from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.live.effort import Effort
from benchmarks.live.measure_latency import percentile_99
from benchmarks.live.stage import Backstage, Stage, Variant, stage

QUICK_USERS = 49
PER_SECOND = 20.0
IN_FLIGHT = 20
SEND_BYTES = 65_536
"""Or else the kernel takes the whole burst off the server's hands, however slow the reader."""
RECEIVE_BYTES = 4_096


@dataclass(frozen=True, kw_only=True)
class Burst:
    """What became of a burst, and of the others' events meanwhile."""

    p99_ms: float
    """Of the quick users' events."""
    seconds: float
    """How long it took to emit the burst."""
    emitted: int
    """Of the burst; all, unless it took too long."""
    received: int
    """Of the burst, before any resumption."""
    close_code: int | None
    caught_up: int | None
    """Of the burst, after resumption; none: there is no such thing."""


def compare_slow(behind: Backstage, *, server: str, effort: Effort) -> None:
    """Emit 20 events/s for 49 users, and meanwhile a burst for the fiftieth, quick or slow."""
    print(f"\n### A burst of {effort.burst:,} events to one of {QUICK_USERS + 1} users on {server}")
    print("(targets: p99 of the others grows less than 2.00; nothing is missed after resumption)\n")
    print(
        "| | p99 of the others | growth | the burst took | emitted | received | closed | after resumption |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for name in ("plain", "netra"):
        variant = Variant(application=name, server=server, send_bytes=SEND_BYTES)
        with stage(variant, behind) as each:
            each.connect_active(QUICK_USERS)
            calm = median(_calm_p99_ms(each, effort) for _ in range(effort.rounds))
            print(f"| {variant.name}, no burst | {calm:,.2f} ms | 1.00 | | | | | |", flush=True)
            for reader, receive_bytes in (("quick", None), ("slow", RECEIVE_BYTES)):
                bursts = [_burst(each, effort, receive_bytes) for _ in range(effort.rounds)]
                _print_row(f"{variant.name}, a {reader} reader", calm, bursts)


def _calm_p99_ms(each: Stage, effort: Effort) -> float:
    each.client.ask("count_anew", group="active", times_events=True)
    emission = each.emit("emit_at_rate", per_second=PER_SECOND, seconds=effort.steady_seconds)
    return _p99_ms(each, sum(emission["emitted"]))


def _burst(each: Stage, effort: Effort, receive_bytes: int | None) -> Burst:
    reader = each.connect_reader(QUICK_USERS, receive_bytes=receive_bytes)
    each.client.ask("count_anew", group="active", times_events=True)
    emission = each.emit(
        "emit_burst_beside", reader=reader, burst=effort.burst, in_flight=IN_FLIGHT, per_second=PER_SECOND
    )
    p99_ms = _p99_ms(each, sum(emission["emitted"]))
    result: dict[str, Any] = each.client.ask(
        "catch_up",
        group="reader",
        run_id=reader["run_id"] if each.variant.application == "netra" else None,
        expected=emission["burst_emitted"],
    )
    each.client.ask("disconnect", group="reader")
    if each.variant.application == "netra" and (
        result["caught_up"] != emission["burst_emitted"] or result["misplaced"]
    ):
        raise RuntimeError(f"Netra's slow reader missed events: {result}")
    return Burst(
        p99_ms=p99_ms,
        seconds=emission["burst_seconds"],
        emitted=emission["burst_emitted"],
        received=result["received"],
        close_code=result["close_code"],
        caught_up=result["caught_up"],
    )


def _p99_ms(each: Stage, emitted: int) -> float:
    arrival = each.client.ask("settle", group="active", expected=emitted)
    return percentile_99([latency / 1e6 for latency in arrival["latencies_ns"]])


def _print_row(name: str, calm_ms: float, bursts: list[Burst]) -> None:
    p99_ms = median(burst.p99_ms for burst in bursts)
    codes = ", ".join(sorted({str(burst.close_code) for burst in bursts if burst.close_code})) or "–"
    last = [burst.caught_up for burst in bursts if burst.caught_up is not None]
    print(
        f"| {name} | {p99_ms:,.2f} ms | {p99_ms / calm_ms:,.2f} "
        f"| {median(burst.seconds for burst in bursts):,.1f} s "
        f"| {median(burst.emitted for burst in bursts):,.0f} "
        f"| {median(burst.received for burst in bursts):,.0f} | {codes} "
        f"| {f'{median(last):,.0f}' if last else '–'} |",
        flush=True,
    )
