"""How uvicorn is configured, wherever it serves Netra."""

import gc
from typing import Any

from django.conf import settings

CLOSE_GRACE_SECONDS = 5


def web_server_options() -> dict[str, Any]:
    """Return what `uvicorn.Config` takes besides the application."""
    return {
        "log_config": None,
        "access_log": False,
        "lifespan": "off",
        "proxy_headers": not settings.DEBUG,
        # What is too large for the protocol still gets its close code; above this uvicorn closes with 1009.
        "ws_max_size": 2**20,
        "ws_ping_interval": 20,
        "ws_ping_timeout": 20,
        "timeout_graceful_shutdown": CLOSE_GRACE_SECONDS,
    }


def settle_garbage_collection() -> None:
    """Have collections of garbage pass over what is loaded by now, and come seldom.

    Each full one would walk all of Django (0.15 s), and each socket that opens brings the next one nearer.
    What waits for the next one are cycles of at most some ten thousand objects, a few megabytes.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
