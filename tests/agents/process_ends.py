"""Waiting for query processes to end."""

import contextlib
import time

import psutil

PATIENCE_SECONDS = 30


def wait_until_gone(process_id: int) -> None:
    # One that nobody waits for may stay as an entry of the process table, and runs no more.
    deadline = time.monotonic() + PATIENCE_SECONDS
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(process_id)
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline, "the process still runs"
            time.sleep(0.01)
