"""The command line of the benchmark of runs: which measurements, and how thoroughly."""

import argparse
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace

from benchmarks.runs.effort import QUICK, THOROUGH
from benchmarks.runs.measure_latency import measure_latency
from benchmarks.runs.measure_overhead import measure_overhead
from benchmarks.runs.measure_scale import measure_scale
from benchmarks.runs.stage import run_stage

MEASUREMENTS = {"overhead": measure_overhead, "latency": measure_latency, "scale": measure_scale}


def run(arguments: Sequence[str] = ()) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks runs")
    parser.add_argument("--quick", action="store_true", help="fewer runs and rounds")
    parser.add_argument("--only", choices=MEASUREMENTS, help="one measurement (default: all)")
    parser.add_argument("--concurrency", type=int, help="runs at a time of each worker, for scale")
    options = parser.parse_args(arguments)
    effort = QUICK if options.quick else THOROUGH
    if options.concurrency:
        effort = replace(effort, concurrency=options.concurrency)
    # whoever ends the benchmark in whatever way, it tidies up
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for name, measure in MEASUREMENTS.items():
            if options.only in (None, name):
                with run_stage() as stage:
                    measure(stage, effort)
    except KeyboardInterrupt:
        sys.exit("Interrupted; all that was started has been ended.")


if __name__ == "__main__":
    run(sys.argv[1:])
