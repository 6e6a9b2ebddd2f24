"""How uvicorn is configured, wherever it serves Netra."""

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn
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


class WebServer(uvicorn.Server):
    """A server beside other work of the process: a signal that ends it is not raised once more for that.

    Otherwise whatever the process still has to bring to an end would be cut short.
    """

    def __init__(self, config: uvicorn.Config, *, on_exit: Callable[[], object]) -> None:
        """Call `on_exit`, in the midst of whatever is done, when a signal asks for the end."""
        super().__init__(config)
        self._on_exit = on_exit

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Close the sockets and end; asked by a second Ctrl-C, without waiting for requests."""
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True
        self._on_exit()
