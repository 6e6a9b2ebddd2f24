"""How long a run waits to be begun where nothing else is going on."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median, quantiles

import httpx
from websockets.asyncio.client import connect

from benchmarks.live.commands import ROOT, Helper
from benchmarks.runs.effort import Effort
from benchmarks.runs.stage import RunStage, check_completed

LIMIT_MS = 30.0
WARM_UPS = 5
PATIENCE_S = 60


def measure_latency(stage: RunStage, effort: Effort) -> None:
    """Print the time from a run's admission to its `agent_started`, and as a socket sees it."""
    with stage.worker("worker") as worker:
        worker.ask("work", concurrency=16)
        worker.ask("settle")
        waits = _measure_starts(stage, worker, effort.starts)
        with _web(stage) as url:
            [user] = stage.behind.people.ask("ids", first=0, count=1)
            token = stage.askers.ask("token", **user)
            answers = asyncio.run(_measure_socket(url, token, effort.starts))
        check_completed(worker.ask("ended"))
    print(f"\n### From a question to `agent_started`, one at a time, one worker ({effort.starts} runs)\n")
    print("| | p50 | p95 | max |")
    print("|---|---:|---:|---:|")
    _row("job committed → `agent_started` committed", waits)
    _row("`send_message` → `agent_started` on the socket", answers["agent_started"])
    _row("`send_message` → `agent_completed` on the socket", answers["agent_completed"])
    p50 = median(waits) * 1_000
    print(f"\np50 is {p50:.1f} ms, {'within' if p50 < LIMIT_MS else 'over'} the limit of {LIMIT_MS:.0f} ms.")


def _measure_starts(stage: RunStage, worker: Helper, count: int) -> list[float]:
    queued_at: dict[str, float] = {}
    for number in range(WARM_UPS + count):
        asked = stage.ask(1)
        worker.ask("wait", count=number + 1)
        if number >= WARM_UPS:
            queued_at |= asked
    started_at = worker.ask("started_at")
    return [started_at[run_id] - moment for run_id, moment in queued_at.items()]


async def _measure_socket(url: str, token: str, count: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {"agent_started": [], "agent_completed": []}
    address = url.replace("http://", "ws://") + "/ws/chat/"
    async with connect(address, subprotocols=["netra.v1", f"bearer.{token}"]) as socket:  # type: ignore[list-item]
        for number in range(WARM_UPS + count):
            asked_at = time.perf_counter()
            frame = {"type": "send_message", "thread_id": None, "text": "Where does it go?", "id": "1"}
            await socket.send(json.dumps(frame))
            kind = ""
            while kind != "agent_completed":
                received = json.loads(await asyncio.wait_for(socket.recv(), PATIENCE_S))
                kind = received["type"]
                if kind in {"error", "run_failed", "run_cancelled"}:
                    raise RuntimeError(f"The run did not complete: {received}")
                if kind in times and number >= WARM_UPS:
                    times[kind].append(time.perf_counter() - asked_at)
    return times


@contextmanager
def _web(stage: RunStage) -> Iterator[str]:
    with (stage.behind.folder / "web.log").open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "serve", "--no-worker", "--port", "0"],
            cwd=ROOT,
            env=stage.process_environment("web"),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        assert process.stdout is not None
        line = next((line for line in process.stdout if line.startswith("Netra is at ")), "")
        url = line.split()[-1].rstrip("/").replace("localhost", "127.0.0.1")
        give_up_at = time.monotonic() + PATIENCE_S
        while httpx.get(f"{url}/healthz").status_code != 200:
            if time.monotonic() > give_up_at:
                raise TimeoutError("The web process was not ready in time.")
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def _row(name: str, seconds: list[float]) -> None:
    p95 = quantiles(seconds, n=20, method="inclusive")[-1]
    shown = " | ".join(f"{value * 1_000:,.1f} ms" for value in (median(seconds), p95, max(seconds)))
    print(f"| {name} | {shown} |")
