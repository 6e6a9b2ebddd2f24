"""A worker that is killed loses no run: another takes it over and ends it."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from tests.servers import ROOT, database_url, serve

pytestmark = [pytest.mark.e2e, pytest.mark.mission_critical("P3")]


@contextmanager
def worker(server):
    process = subprocess.Popen(
        [sys.executable, "manage.py", "worker"],
        cwd=ROOT,
        env=server.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_for(condition, seconds=60):
    give_up_at = time.monotonic() + seconds
    while time.monotonic() < give_up_at:
        if result := condition():
            return result
        time.sleep(0.05)
    raise AssertionError(f"It did not happen within {seconds} s.")


def test_runs_of_a_killed_worker_are_ended_by_another(tmp_path, redis_url, django_db_setup):
    database = database_url("netra_worker_loss")
    options = {"NETRA_STALLED_AFTER_S": "3", "REDIS_URL": redis_url}
    with (
        serve(database, tmp_path, "--no-worker", wait_for="/healthz", **options) as server,
        server.client("alice") as client,
        server.database() as rows,
    ):
        with worker(server) as first:
            wait_for(lambda: client.get("/readyz").status_code == 200)
            os.kill(first.pid, signal.SIGSTOP)
            threads = [client.post("/api/v1/threads", json={}).json()["id"] for _ in range(6)]
            runs = [
                client.post(f"/api/v1/threads/{thread}/runs", json={"text": "hello"}).json()["run_id"]
                for thread in threads
            ]
            os.kill(first.pid, signal.SIGCONT)
            wait_for(lambda: rows.execute("SELECT 1 FROM agents_run WHERE attempt > 0").fetchone())
            first.kill()
        with worker(server):
            wait_for(
                lambda: rows.execute(
                    "SELECT count(*) = 6 FROM agents_run WHERE status = 'completed'"
                ).fetchone()[0]
            )
        for run_id in runs:
            events = client.get(f"/api/v1/runs/{run_id}/events").json()["events"]
            types = [event["type"] for event in events]
            assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
            assert types.count("agent_started") == 1
            assert types.count("agent_completed") == 1
            assert types[-1] == "agent_completed"
        assert rows.execute("SELECT max(attempt) FROM agents_run").fetchone()[0] == 2
        reserved = rows.execute("SELECT sum(reserved) FROM contexts_quotausage").fetchone()[0]
        assert reserved == 0
