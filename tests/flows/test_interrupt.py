"""Signals that end a server."""

import signal
import time
from pathlib import Path

import pytest

from tests.scripted import counting
from tests.scripted.question import Script
from tests.servers import database_url, serve


@pytest.mark.e2e
def test_a_server_that_is_interrupted_ends_in_order_and_without_a_word(
    django_db_setup: None, tmp_path: Path
) -> None:
    tmp_path.chmod(0o755)
    with serve(database_url("netra_interrupted"), tmp_path, "--no-worker", wait_for="/healthz") as server:
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(20) == 0
    assert "Traceback" not in server.output
    assert "leaked" not in server.output


@pytest.mark.e2e
@pytest.mark.mission_critical("P3")
def test_a_server_that_is_told_to_stop_hands_the_run_of_its_worker_back(
    django_db_setup: None, tmp_path: Path
) -> None:
    tmp_path.chmod(0o755)
    options = {
        "DJANGO_SETTINGS_MODULE": "tests.scripted_settings",
        "NETRA_STOP_GRACE_S": "1",
        counting.VARIABLE: str(tmp_path / "counts"),
    }
    with (
        serve(database_url("netra_stopped"), tmp_path, **options) as server,
        server.client("alice") as client,
        server.database() as rows,
    ):
        thread = client.post("/api/v1/threads", json={}).json()["id"]
        question = str(Script(name="stopped", steps=1, model_s=60))
        client.post(f"/api/v1/threads/{thread}/runs", json={"text": question}).raise_for_status()
        give_up_at = time.monotonic() + 30
        while not rows.execute("SELECT 1 FROM agents_runevent WHERE type = 'tool_completed'").fetchone():
            assert time.monotonic() < give_up_at, server.output
            time.sleep(0.02)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 0
        run = rows.execute("SELECT status, attempt, hand_backs FROM agents_run").fetchone()
        assert run == ("running", 1, 1)
        assert rows.execute("SELECT status FROM procrastinate_jobs WHERE queue_name = 'runs'").fetchall() == [
            ("todo",)
        ]
        assert not (tmp_path / "server-address").exists()
    assert "Traceback" not in server.output
