"""How late a worker's event loop is while runs stream their events, with heavy queries beside them or not."""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from statistics import quantiles
from typing import Any

import django
import uvloop

from benchmarks.runs.lag import LagWatch

ROOT = Path(__file__).resolve().parents[1]
STREAMS = 20
QUERIES = 8
SECONDS = 10
PIECES = 50
PIECE_SECONDS = 0.02
HEAVY = "SELECT count(*) FROM range(1000000000000) a, range(1000000) b"
TARGET_MS = 50


def run() -> None:
    """Measure and print, in a process and on a PostgreSQL of its own."""
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings"}
    subprocess.run([sys.executable, "-m", "benchmarks.loop_lag"], cwd=ROOT, env=environment, check=True)


def main() -> None:
    """Measure and print in this process, as a worker."""
    django.setup()
    from django.core.management import call_command

    from tests.factories import make_tenant, make_user

    call_command("migrate", interactive=False, verbosity=0)
    # A user each, so that no limit is what is measured.
    users = [make_user(f"user{n}", make_tenant(f"tenant{n}")) for n in range(STREAMS + QUERIES)]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        figures = runner.run(_measure(users[:STREAMS], users[STREAMS:]))
    print(f"\n### Lag of a worker's event loop, {STREAMS} runs streaming, {os.cpu_count()} CPUs\n")
    print("| | events | p50 | p99 | max |")
    print("|---|---:|---:|---:|---:|")
    for name, events, lags in figures:
        cuts = quantiles(lags, n=100)
        shown = " | ".join(f"{seconds * 1000:,.1f} ms" for seconds in (cuts[49], cuts[98], max(lags)))
        print(f"| {name} | {events:,} | {shown} |")
    print(f"\nThe target for the p99 is less than {TARGET_MS} ms.")


async def _measure(streamers: Sequence[Any], askers: Sequence[Any]) -> list[tuple[str, int, list[float]]]:
    from agents.event_log import register_event_sink
    from agents.event_writer import close_event_writer
    from agents.loop_watch import LoopWatch
    from contexts.database import close_async_pool
    from contexts.manager import get_context_manager
    from tests.agents.running import Recorder

    recorder = Recorder()
    register_event_sink(recorder)
    figures = []
    questions = [await _prepare_question(user) for user in askers]
    async with LoopWatch():
        lag = LagWatch()
        async with _doing(streamers, _stream):
            await asyncio.sleep(SECONDS / 2)
            for name, queries in (("without queries", 0), (f"with {QUERIES} heavy queries", QUERIES)):
                async with _doing(questions[:queries], _query):
                    await asyncio.sleep(SECONDS / 4)
                    lag.take()
                    told = len(recorder.events) + len(recorder.deltas)
                    await asyncio.sleep(SECONDS)
                    figures.append((name, len(recorder.events) + len(recorder.deltas) - told, lag.take()))
    await get_context_manager().cleanup_all()
    await close_event_writer()
    await close_async_pool()
    return figures


@asynccontextmanager
async def _doing(whom: Sequence[Any], do: Callable[[Any], Any]) -> AsyncIterator[None]:
    """Do something for each of them meanwhile."""
    tasks = [asyncio.create_task(do(each)) for each in whom]
    try:
        yield
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _stream(user: Any) -> None:
    """Carry out one run after the other, whose answer comes in pieces."""
    from pydantic_ai.models.function import DeltaToolCall, FunctionModel

    from agents.state import TriageResult
    from contexts.database import call_in_thread
    from tests.agents.running import ask, engines_with, execute

    async def stream(messages: Any, info: Any) -> Any:
        if info.output_tools:
            found = TriageResult(category="small_talk", reason="It is said.", next_agents=["reporting"])
            yield {0: DeltaToolCall(name=info.output_tools[0].name, json_args=found.model_dump_json())}
            return
        for _ in range(PIECES):
            await asyncio.sleep(PIECE_SECONDS)
            yield "A few words. "

    engines = engines_with(FunctionModel(stream_function=stream))
    while True:
        # Handed back when it is over, for a run that its user cancels would be followed by the next one.
        await execute(await call_in_thread(ask, user), engines=engines, is_stopping=lambda: True)


async def _prepare_question(user: Any) -> Callable[[], Any]:
    """Return what asks a user's dataset something heavy, as an agent of a run does."""
    from agents.dispatcher import UnifiedToolDispatcher
    from agents.line import run_reservation
    from agents.models import Run
    from contexts.database import call_in_thread
    from contexts.metering import QuotaMeter
    from tests.agents.running import ask, begin, log_of, upload

    with tempfile.TemporaryDirectory(prefix="netra-benchmark-") as name:
        question = {"dataset_id": await call_in_thread(upload, user, Path(name)), "sql": HEAVY}
    begun = await call_in_thread(begin, await call_in_thread(ask, user))
    run = await call_in_thread(Run.objects.get, id=begun.context.run_id)
    meter = QuotaMeter(await call_in_thread(run_reservation, run))
    dispatcher = UnifiedToolDispatcher.for_context(begun.context, log_of(begun), meter=meter)
    return partial(dispatcher.execute, "query_dataset", question, context=begun.context, agent_name="data")


async def _query(ask: Callable[[], Any]) -> None:
    """Ask one heavy question after the other."""
    from contexts.exceptions import ToolError

    while True:
        with suppress(ToolError):  # it takes too long, as it should
            await ask()


if __name__ == "__main__":
    main()
