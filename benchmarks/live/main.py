"""The command line of the live benchmark: which comparisons, on which server, and how thoroughly."""

import argparse
import signal
import sys
from collections.abc import Sequence

from benchmarks.live.effort import QUICK, THOROUGH
from benchmarks.live.measure_connects import compare_connects
from benchmarks.live.measure_cost import compare_cost
from benchmarks.live.measure_idle import compare_idle
from benchmarks.live.measure_latency import compare_latency
from benchmarks.live.measure_managers import show_managers
from benchmarks.live.measure_redis import compare_redis
from benchmarks.live.measure_slow import compare_slow
from benchmarks.live.stage import backstage

COMPARISONS = {
    "cpu": compare_cost,
    "redis": compare_redis,
    "latency": compare_latency,
    "connects": compare_connects,
    "idle": compare_idle,
    "slow": compare_slow,
    "managers": show_managers,
}
SERVERS = ("uvicorn", "daphne")


def run(arguments: Sequence[str] = ()) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks live")
    parser.add_argument("--quick", action="store_true", help="fewer users, sockets and rounds")
    parser.add_argument("--only", choices=COMPARISONS, help="one comparison (default: all)")
    parser.add_argument("--server", choices=SERVERS, help="one server (default: both, or uvicorn if quick)")
    options = parser.parse_args(arguments)
    effort = QUICK if options.quick else THOROUGH
    servers = (options.server,) if options.server else SERVERS[: 1 if options.quick else None]
    # whoever ends the benchmark in whatever way, it tidies up
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with backstage() as behind:
            for name, compare in COMPARISONS.items():
                if options.only in (None, name):
                    for server in servers:
                        compare(behind, server=server, effort=effort)
    except KeyboardInterrupt:
        sys.exit("Interrupted; all that was started has been ended.")
