"""Medians over several runs, printed as Markdown tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One thing that was timed several times."""

    name: str
    seconds: Sequence[float]

    @property
    def median_ms(self) -> float:
        """Return the median in milliseconds."""
        return median(self.seconds) * 1000


def print_table(title: str, baseline: Measurement, measured: Sequence[Measurement]) -> None:
    """Print the medians, ranges and ratios to `baseline`."""
    print(f"\n### {title}\n")
    print("| | runs | median | min – max | ratio |")
    print("|---|---:|---:|---:|---:|")
    for row in (baseline, *measured):
        low, high = min(row.seconds) * 1000, max(row.seconds) * 1000
        ratio = row.median_ms / baseline.median_ms
        print(
            f"| {row.name} | {len(row.seconds)} | {row.median_ms:,.1f} ms | {low:,.1f} – {high:,.1f} ms "
            f"| {ratio:,.2f} |"
        )
