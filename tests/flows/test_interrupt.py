"""Ctrl-C on a server."""

import signal
from pathlib import Path

import pytest

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
