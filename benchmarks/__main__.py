"""Run the benchmarks named on the command line, or all."""

import sys

from benchmarks import contexts, first_answer, quotas

BENCHMARKS = {"contexts": contexts.run, "first_answer": first_answer.run, "quotas": quotas.run}


def main() -> None:
    """Run them one after the other."""
    names = sys.argv[1:] or list(BENCHMARKS)
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        sys.exit(f"There is no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}.")
    for name in names:
        BENCHMARKS[name]()


if __name__ == "__main__":
    main()
