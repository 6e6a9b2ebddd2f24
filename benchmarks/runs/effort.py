"""How thoroughly is measured: for a glance while working, or for the record."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How many rounds and runs."""

    rounds: int
    """Rounds that count; one goes before them to warm up."""
    runs: int
    """Runs in a round, where their cost is measured."""
    starts: int
    """Runs one after the other, where their start is timed."""
    queued: int
    """Runs that are queued at once for two workers."""
    concurrency: int
    """Runs that each of the two carries out at the same time; 16 is what workers do by default."""


QUICK = Effort(rounds=2, runs=10, starts=15, queued=60, concurrency=30)
THOROUGH = Effort(rounds=5, runs=50, starts=100, queued=1_000, concurrency=16)
