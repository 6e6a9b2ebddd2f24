"""Comparing what idle sockets cost: memory, and how much dearer they make the events of the others."""

from dataclasses import dataclass
from statistics import median

from benchmarks.live.cost import deliver
from benchmarks.live.effort import Effort
from benchmarks.live.stage import Backstage, Stage, Variant, stage

ACTIVE = 50
MOST_EACH = 1_000_000
CONNECT_SECONDS = 90.0
"""Plain Channels takes ever longer for a socket, the more are open; at some point it is enough."""


@dataclass(frozen=True, kw_only=True)
class Idleness:
    """What was measured beside so many idle sockets."""

    name: str
    idle: int
    connects_a_second: float | None
    socket_bytes: float | None
    """Of the server's memory, for each idle socket."""
    event_us: float
    """Python CPU for each event delivered to the active users."""
    growth: float
    """Of that, to what it was with no idle socket."""


def compare_idle(behind: Backstage, *, server: str, effort: Effort) -> None:
    """Open idle sockets in steps, each of another user, and emit for 50 active users at each step."""
    found = [
        idleness
        for name in ("bare", "plain", "netra")
        for idleness in _measure(behind, Variant(application=name, server=server), effort)
    ]
    plain = {each.idle: each for each in found if each.name == "plain Channels"}
    print(f"\n### Idle sockets on {server}, one process, beside {ACTIVE} active users")
    print("(targets: memory at most 1.20 of plain Channels', the cost of an event grows less than 1.50)\n")
    print("| | idle sockets | opened/s | memory a socket | to plain's | Python CPU per event | growth |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for each in found:
        beside = plain.get(each.idle) or max(plain.values(), key=lambda other: other.idle)
        speed = "" if each.connects_a_second is None else f"{each.connects_a_second:,.0f}"
        memory = ratio = ""
        if each.socket_bytes is not None and beside.socket_bytes:
            memory = f"{each.socket_bytes / 1024:,.1f} KiB"
            ratio = f"{each.socket_bytes / beside.socket_bytes:,.2f}"
        print(
            f"| {each.name} | {each.idle:,} | {speed} | {memory} | {ratio} "
            f"| {each.event_us:,.1f} µs | {each.growth:,.2f} |",
            flush=True,
        )


def _measure(behind: Backstage, variant: Variant, effort: Effort) -> list[Idleness]:
    found: list[Idleness] = []
    with stage(variant, behind) as each:
        each.connect_active(ACTIVE)
        deliver(each, each=MOST_EACH, seconds=0.5)
        before = each.server_bytes()
        idle = 0
        for target in effort.idle:
            opened = each.connect_idle(ACTIVE + idle, target - idle, seconds=CONNECT_SECONDS)
            idle += opened["opened"]
            event_us = _event_us(each, effort)
            found.append(
                Idleness(
                    name=variant.name,
                    idle=idle,
                    connects_a_second=opened["opened"] / opened["seconds"] if opened["opened"] else None,
                    socket_bytes=(each.server_bytes() - before) / idle if idle else None,
                    event_us=event_us,
                    growth=event_us / found[0].event_us if found else 1.0,
                )
            )
    return found


def _event_us(each: Stage, effort: Effort) -> float:
    rounds = [deliver(each, each=MOST_EACH, seconds=effort.emit_seconds) for _ in range(effort.rounds)]
    return median(delivery.per_event(delivery.usage.python) for delivery in rounds)
