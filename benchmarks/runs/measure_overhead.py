"""What a run costs beyond the agents: CPU beside Pydantic AI alone, in the same process."""

import os
import signal
from dataclasses import dataclass
from statistics import median

from benchmarks.live.commands import Helper
from benchmarks.runs.effort import Effort
from benchmarks.runs.script import MODEL_CALLS, TOOL_CALLS
from benchmarks.runs.stage import RunStage, check_completed

AT_ONCE = 16
LIMIT_MS = 25.0


@dataclass(frozen=True, kw_only=True)
class _Cost:
    """CPU seconds a run."""

    python: float
    postgres: float


def measure_overhead(stage: RunStage, effort: Effort) -> None:
    """Print the CPU of a run with five steps."""
    whole, streamed = [], []
    alone: list[_Cost] = []
    together: list[_Cost] = []
    admitting: list[_Cost] = []
    with stage.worker("worker") as worker:
        worker.ask("work", concurrency=AT_ONCE)
        ended = 0
        for number in range(1 + effort.rounds):
            ended += effort.runs
            worker.ask("settle")
            costs = [
                worker.ask("bare", count=effort.runs, streams=False) / effort.runs,
                worker.ask("bare", count=effort.runs, streams=True) / effort.runs,
            ]
            admission, queued = _measure_queued(stage, worker, effort.runs, ended=ended)
            ended += effort.runs
            single = _measure_single(stage, worker, effort.runs, ended=ended)
            if number:
                whole.append(costs[0])
                streamed.append(costs[1])
                admitting.append(admission)
                together.append(queued)
                alone.append(single)
        check_completed(worker.ask("ended"))
    _print(effort, whole, streamed, alone, together, admitting)


def _measure_queued(stage: RunStage, worker: Helper, runs: int, *, ended: int) -> tuple[_Cost, _Cost]:
    """Measure admitting runs while the worker stands still, and carrying them out, some at a time."""
    before = _Cost(python=stage.askers.ask("cpu_seconds"), postgres=stage.behind.postgres_cpu_seconds())
    begun = worker.ask("cpu_seconds")
    os.kill(worker.pid, signal.SIGSTOP)
    try:
        stage.ask(runs)
    finally:
        admitted = stage.behind.postgres_cpu_seconds()
        os.kill(worker.pid, signal.SIGCONT)
    used = worker.ask("wait", count=ended) - begun
    return (
        _Cost(
            python=(stage.askers.ask("cpu_seconds") - before.python) / runs,
            postgres=(admitted - before.postgres) / runs,
        ),
        _Cost(python=used / runs, postgres=(stage.behind.postgres_cpu_seconds() - admitted) / runs),
    )


def _measure_single(stage: RunStage, worker: Helper, runs: int, *, ended: int) -> _Cost:
    """Measure runs one after the other; PostgreSQL's share is that of their admission, too."""
    begun, postgres = worker.ask("cpu_seconds"), stage.behind.postgres_cpu_seconds()
    for number in range(runs):
        stage.ask(1)
        worker.ask("wait", count=ended - runs + number + 1)
    return _Cost(
        python=(worker.ask("cpu_seconds") - begun) / runs,
        postgres=(stage.behind.postgres_cpu_seconds() - postgres) / runs,
    )


def _print(
    effort: Effort,
    whole: list[float],
    streamed: list[float],
    alone: list[_Cost],
    together: list[_Cost],
    admitting: list[_Cost],
) -> None:
    bare = median(streamed) * 1_000
    print(
        f"\n### CPU of a run: {MODEL_CALLS} answers of a scripted model, {TOOL_CALLS} results of tools"
        f" ({effort.rounds} rounds of {effort.runs} runs)\n"
    )
    print("| | Python, a run | min – max | ratio | more than bare | PostgreSQL, a run |")
    print("|---|---:|---:|---:|---:|---:|")
    _row("bare Pydantic AI, `agent.run`", whole, None, bare)
    _row("bare Pydantic AI, `run_stream_events`", streamed, None, bare)
    _row("Netra's worker, one run after the other", [c.python for c in alone], None, bare)
    _row(
        f"Netra's worker, {AT_ONCE} runs at a time",
        [cost.python for cost in together],
        [cost.postgres for cost in together],
        bare,
    )
    _row(
        "admitting it (the web process)", [c.python for c in admitting], [c.postgres for c in admitting], None
    )
    more = max(median(c.python for c in costs) for costs in (alone, together)) * 1_000 - bare
    verdict = "within" if more <= LIMIT_MS else "over"
    print(f"\nNetra adds {more:,.1f} ms of CPU to a run at most, {verdict} the limit of {LIMIT_MS:.0f} ms.")


def _row(name: str, python: list[float], postgres: list[float] | None, bare: float | None) -> None:
    milliseconds = [seconds * 1_000 for seconds in python]
    middle = median(milliseconds)
    shown = "" if bare is None else f"{middle / bare:,.1f}"
    more = "" if bare is None else f"{middle - bare:,.1f} ms"
    own = "" if postgres is None else f"{median(postgres) * 1_000:,.1f} ms"
    print(
        f"| {name} | {middle:,.1f} ms | {min(milliseconds):,.1f} – {max(milliseconds):,.1f} ms"
        f" | {shown} | {more} | {own} |"
    )
