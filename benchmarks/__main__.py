"""Run the benchmarks named on the command line, or all; `live` and `runs` take options of their own."""

import sys

from benchmarks import contexts, first_answer, loop_lag, quotas, soak
from benchmarks.live import main as live
from benchmarks.runs import main as runs

BENCHMARKS = {
    "contexts": contexts.run,
    "first_answer": first_answer.run,
    "live": live.run,
    "loop_lag": loop_lag.run,
    "quotas": quotas.run,
    "runs": runs.run,
    "soak": soak.run,
}
ONLY_BY_NAME = {"soak"}
"""They prove rather than compare, and take long."""


def main() -> None:
    """Run them one after the other."""
    if sys.argv[1:2] in (["live"], ["runs"]):
        BENCHMARKS[sys.argv[1]](sys.argv[2:])
        return
    names = sys.argv[1:] or [name for name in BENCHMARKS if name not in ONLY_BY_NAME]
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        sys.exit(f"There is no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}.")
    for name in names:
        BENCHMARKS[name]()


if __name__ == "__main__":
    main()
