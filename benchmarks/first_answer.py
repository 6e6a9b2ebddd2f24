"""How long a user waits: from the frame to the first sign of life, and to the whole answer."""

import asyncio
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from websockets.asyncio.client import ClientConnection, connect

from agents.analysis.charts import comparison_chart, spend_chart
from agents.analysis.comparison import compare_models
from agents.analysis.description import describe_dataset
from agents.analysis.savings import savings_plan
from agents.analysis.spend import spend_breakdown
from agents.datasets.importer import import_file
from agents.datasets.session import AnalysisSession, DatasetSource
from benchmarks.tables import Measurement, print_table

ROOT = Path(__file__).resolve().parents[1]
REAL_LOG = ROOT.parent / "shared" / "data" / "azure_llm_trace_2023_conv.csv"
QUESTION = "Where does our AI spend go, and how do we cut it?"
RUNS = 15
WARM_UPS = 3


def run() -> None:
    """Measure and print both tables."""
    with tempfile.TemporaryDirectory(prefix="netra-benchmark-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        log = REAL_LOG if REAL_LOG.is_file() else _make_log(folder / "calls.csv", rows=19_366)
        bare = _measure_bare_analysis(log, folder)
        with _serve(folder) as url:
            pings, starts, answers = asyncio.run(_measure_server(url, log.name, log.read_bytes()))
    print_table("From the frame `send_message` to the event `agent_started`", pings, [starts])
    print_table(f"The whole offline answer for {log.name}, after the upload", bare, [answers])


async def _measure_server(
    url: str, name: str, content: bytes
) -> tuple[Measurement, Measurement, Measurement]:
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        account = {"username": "alice", "password": "netra-demo"}
        token = (await client.post("/api/v1/auth/token", json=account)).raise_for_status().json()["access"]
        upload = await client.post(
            "/api/v1/datasets",
            headers={"Authorization": f"Bearer {token}"},
            files={"file": (name, content)},
            data={"assume_model": "gpt-4o"},
        )
        dataset_id = upload.raise_for_status().json()["id"]
    pings, starts, answers = [], [], []
    address = url.replace("http://", "ws://") + "/ws/chat/"
    async with connect(address, subprotocols=["netra.v1", f"bearer.{token}"]) as socket:
        for number in range(WARM_UPS + RUNS):
            ping = await _time_until(socket, {"type": "ping"}, {"pong"})
            frame = {"type": "send_message", "thread_id": None, "text": QUESTION, "dataset_ids": [dataset_id]}
            times = await _time_run(socket, frame)
            if number >= WARM_UPS:
                pings.append(ping)
                starts.append(times["agent_started"])
                answers.append(times["agent_completed"])
    return (
        Measurement(name="`ping` → `pong` on the same socket", seconds=pings),
        Measurement(name="`send_message` → `agent_started`", seconds=starts),
        Measurement(name="`send_message` → `agent_completed`", seconds=answers),
    )


async def _time_until(socket: ClientConnection, frame: dict[str, object], types: set[str]) -> float:
    started = time.perf_counter()
    await socket.send(json.dumps({**frame, "id": "1"}))
    while json.loads(await socket.recv())["type"] not in types:
        pass
    return time.perf_counter() - started


async def _time_run(socket: ClientConnection, frame: dict[str, object]) -> dict[str, float]:
    times: dict[str, float] = {}
    started = time.perf_counter()
    await socket.send(json.dumps({**frame, "id": "1"}))
    while "agent_completed" not in times:
        received = json.loads(await asyncio.wait_for(socket.recv(), 60))
        times.setdefault(received["type"], time.perf_counter() - started)
        if received["type"] in {"error", "run_failed", "run_cancelled"}:
            raise RuntimeError(f"The run did not complete: {received}")
    return times


def _measure_bare_analysis(log: Path, folder: Path) -> Measurement:
    stored = folder / "bare.parquet"
    import_file(log, stored, filename=log.name)
    source = DatasetSource(
        id="00000001", name="calls", path=stored, assumed_model="gpt-4o", time_is_relative=False, format="x"
    )
    seconds = []
    for number in range(WARM_UPS + RUNS):
        started = time.perf_counter()
        with AnalysisSession([source], memory_limit_bytes=2**30) as session:
            moment = datetime.now(UTC)
            describe_dataset(session, source.id)
            breakdown = spend_breakdown(session, source.id, priced_at=moment)
            comparison = compare_models(session, source.id, priced_at=moment)
            plan = savings_plan(session, source.id, priced_at=moment)
            comparison_chart(comparison, plan)
            spend_chart(breakdown)
        if number >= WARM_UPS:
            seconds.append(time.perf_counter() - started)
    return Measurement(name="the same analyses and charts, called directly", seconds=seconds)


@contextmanager
def _serve(folder: Path) -> Iterator[str]:
    environment = os.environ | {"DEBUG": "1", "DATABASE_URL": "", "NETRA_DATA_DIR": str(folder / "var")}
    process = subprocess.Popen(
        [sys.executable, "manage.py", "serve", "--port", "0", "--migrate", "--seed-demo"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = next(line for line in process.stdout if line.startswith("Netra is at "))
        url = line.split()[-1].rstrip("/").replace("localhost", "127.0.0.1")
        give_up_at = time.monotonic() + 30
        while httpx.get(f"{url}/readyz").status_code != 200:
            if time.monotonic() > give_up_at:
                raise TimeoutError("The server was not ready within 30 s.")
            time.sleep(0.1)
        time.sleep(2)  # let the renderer's warm-up end
        yield url
    finally:
        process.terminate()
        process.wait(20)


def _make_log(path: Path, *, rows: int) -> Path:
    chance = random.Random(7)
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["TIMESTAMP", "ContextTokens", "GeneratedTokens"])
        for number in range(rows):
            moment = begin + timedelta(seconds=number * 0.18)
            writer.writerow(
                [moment.strftime("%Y-%m-%d %H:%M:%S.%f0"), chance.randint(10, 4_000), chance.randint(1, 600)]
            )
    return path
