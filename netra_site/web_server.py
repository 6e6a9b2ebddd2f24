"""How uvicorn is configured, wherever it serves Netra."""

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
