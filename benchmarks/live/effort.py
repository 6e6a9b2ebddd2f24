"""How thoroughly is measured: for a glance while working, or for the record."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How many rounds, users and sockets, and for how long."""

    rounds: int
    """Rounds that count; one goes before them to warm up."""
    emit_seconds: float
    """How long events are emitted in a round."""
    steady_seconds: float
    """How long events are emitted at a steady rate in a round."""
    users: tuple[int, ...]
    """Users with a socket, for whom events are emitted."""
    idle: tuple[int, ...]
    """Idle sockets open beside them."""
    connects: int
    """Sockets opened in a round where the opening is timed."""
    burst: int
    """Events for one user, as fast as it goes."""


QUICK = Effort(
    rounds=3, emit_seconds=0.5, steady_seconds=1.0, users=(50,), idle=(0, 300), connects=200, burst=1_000
)
THOROUGH = Effort(
    rounds=3,
    emit_seconds=1.2,
    steady_seconds=3.0,
    users=(1, 50, 500),
    idle=(0, 2_000, 10_000),
    connects=500,
    burst=5_000,
)
