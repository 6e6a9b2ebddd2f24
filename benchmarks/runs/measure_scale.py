"""A thousand runs on two workers: whether all complete, how fast, and what the workers do meanwhile."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from statistics import median, quantiles

import psutil
import psycopg

from benchmarks.live.commands import Helper
from benchmarks.runs.effort import Effort
from benchmarks.runs.script import MODEL_CALLS
from benchmarks.runs.stage import RunStage, check_completed

MODEL_SECONDS = 1.0
SAMPLE_EVERY_S = 0.25
WARM_UPS = 10
LAG_LIMIT_MS = 50.0
WORKERS = ("worker-1", "worker-2")
_CONNECTIONS = """
SELECT application_name, count(*) FROM pg_stat_activity
WHERE application_name = ANY(%s) GROUP BY application_name
"""


@dataclass
class _Samples:
    """What was seen of the workers while they worked."""

    bytes: dict[str, list[int]] = field(default_factory=dict)
    connections: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class _Worker:
    """What one worker did."""

    runs: int
    lags: list[float]
    cpu_seconds: float
    bytes: list[int]
    connections: int


def measure_scale(stage: RunStage, effort: Effort) -> None:
    """Queue all runs, have two workers begin, and print how that went."""
    with ExitStack() as stack:
        workers = {
            name: stack.enter_context(stage.worker(name, model_seconds=MODEL_SECONDS)) for name in WORKERS
        }
        for worker in workers.values():
            _warm_up(stage, worker, concurrency=effort.concurrency)
        before = {name: len(worker.ask("ended")) for name, worker in workers.items()}
        cpu_before = {name: worker.ask("cpu_seconds") for name, worker in workers.items()}
        postgres_before = stage.behind.postgres_cpu_seconds()
        stage.ask(effort.queued)
        postgres_admitted = stage.behind.postgres_cpu_seconds()
        began = time.monotonic()
        with _sampling(stage, workers) as samples:
            for worker in workers.values():
                worker.ask("work", concurrency=effort.concurrency)
            _wait(workers, effort.queued + sum(before.values()), began=began)
        seconds = max(worker.ask("ended_at") for worker in workers.values()) - began
        done = {}
        for name, worker in workers.items():
            ended = worker.ask("ended")
            check_completed(ended)
            done[name] = _Worker(
                runs=len(ended) - before[name],
                lags=worker.ask("lags"),
                cpu_seconds=worker.ask("cpu_seconds") - cpu_before[name],
                bytes=samples.bytes[name],
                connections=samples.connections.get(name, 0),
            )
        postgres = stage.behind.postgres_cpu_seconds() - postgres_admitted
        admitting = postgres_admitted - postgres_before
    _print(effort, done, seconds=seconds, postgres=postgres, admitting=admitting)


def _warm_up(stage: RunStage, worker: Helper, *, concurrency: int) -> None:
    worker.ask("work", concurrency=concurrency)
    worker.ask("settle")
    stage.ask(WARM_UPS)
    worker.ask("wait", count=WARM_UPS)
    worker.ask("settle")
    worker.ask("rest")


def _wait(workers: Mapping[str, Helper], count: int, *, began: float) -> None:
    give_up_at = began + 60 + count * MODEL_CALLS * MODEL_SECONDS
    while sum(len(worker.ask("ended")) for worker in workers.values()) < count:
        if time.monotonic() > give_up_at:
            raise TimeoutError("Not all runs have ended.")
        time.sleep(0.5)


@contextmanager
def _sampling(stage: RunStage, workers: Mapping[str, Helper]) -> Iterator[_Samples]:
    samples, stop = _Samples(bytes={name: [] for name in workers}), threading.Event()

    def sample() -> None:
        with psycopg.connect(stage.environment["DATABASE_URL"], autocommit=True) as connection:
            while not stop.wait(SAMPLE_EVERY_S):
                for name, worker in workers.items():
                    samples.bytes[name].append(psutil.Process(worker.pid).memory_info().rss)
                for name, count in connection.execute(_CONNECTIONS, [list(workers)]):
                    samples.connections[name] = max(samples.connections.get(name, 0), count)

    sampler = threading.Thread(target=sample, name="samples")
    sampler.start()
    try:
        yield samples
    finally:
        stop.set()
        sampler.join()


def _print(
    effort: Effort, done: Mapping[str, _Worker], *, seconds: float, postgres: float, admitting: float
) -> None:
    runs = sum(worker.runs for worker in done.values())
    least = runs * MODEL_CALLS * MODEL_SECONDS / (len(done) * effort.concurrency)
    print(
        f"\n### {runs:,} runs of {MODEL_CALLS} answers, each {MODEL_SECONDS:.0f} s, on {len(done)} workers"
        f" with {effort.concurrency} at a time\n"
    )
    print(f"All completed in {seconds:,.1f} s ({runs / seconds:,.1f} a second; {least:,.1f} s at least).")
    print(
        f"PostgreSQL used {postgres:,.1f} s of CPU for them ({postgres / runs * 1000:,.1f} ms a run),"
        f" and {admitting:,.1f} s for their admission.\n"
    )
    print("| | " + " | ".join(done) + " |")
    print("|---|" + "---:|" * len(done))
    workers = list(done.values())
    for name, values in (
        ("runs", [f"{worker.runs:,}" for worker in workers]),
        ("loop lag p50", [f"{median(worker.lags) * 1000:,.1f} ms" for worker in workers]),
        ("loop lag p99", [f"{_p99(worker.lags) * 1000:,.1f} ms" for worker in workers]),
        ("longest loop lag", [f"{max(worker.lags) * 1000:,.0f} ms" for worker in workers]),
        ("CPU", [f"{worker.cpu_seconds:,.1f} s" for worker in workers]),
        ("CPU, a run", [f"{worker.cpu_seconds / max(1, worker.runs) * 1000:,.1f} ms" for worker in workers]),
        ("memory, median of the first third", [_megabytes(_thirds(worker.bytes)[0]) for worker in workers]),
        ("memory, median of the last third", [_megabytes(_thirds(worker.bytes)[1]) for worker in workers]),
        ("connections to PostgreSQL, at most", [str(worker.connections) for worker in workers]),
    ):
        print(f"| {name} | " + " | ".join(values) + " |")
    worst = max(_p99(worker.lags) for worker in workers) * 1_000
    verdict = "within" if worst < LAG_LIMIT_MS else "over"
    print(f"\np99 of the lag is {worst:.1f} ms, {verdict} the limit of {LAG_LIMIT_MS:.0f} ms.")


def _p99(seconds: list[float]) -> float:
    return quantiles(seconds, n=100, method="inclusive")[-1]


def _thirds(values: list[int]) -> tuple[float, float]:
    third = max(1, len(values) // 3)
    return median(values[:third]), median(values[-third:])


def _megabytes(count: float) -> str:
    return f"{count / 1e6:,.0f} MB"
