"""Closing the sockets of users whose contexts are quarantined, from whichever thread notices."""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

from contexts.isolation import Breach
from contexts.manager import get_context_manager
from realtime.connection import Connection
from realtime.protocol import CloseCode

REASON = "Stopped to keep users' data apart; reload to go on."

_lock = threading.Lock()
_sockets: dict[UUID, set[Connection]] = {}


def watch_for_quarantine(connection: Connection) -> Callable[[], None]:
    """Have a socket closed with 4403 when its own or another context of its user is quarantined.

    Returns what ends the watch, to be called when the socket goes.

    Raises:
        ContextClosedError: when the socket's context is not open.
    """
    end = partial(connection.end_from_any_thread, CloseCode.NOT_ALLOWED, REASON)
    get_context_manager().on_quarantine(connection.context, end)
    with _lock:
        _sockets.setdefault(connection.user_id, set()).add(connection)
    return partial(_forget, connection)


def close_sockets(*, breach: Breach, **_: Any) -> None:
    """Close the sockets of every user whose context a breach has quarantined; a signal's receiver."""
    manager = get_context_manager()
    users = {
        context.user_id for context in breach.contexts if breach.blocked or manager.is_quarantined(context)
    }
    with _lock:
        connections = [connection for user_id in users for connection in _sockets.get(user_id, ())]
    for connection in connections:
        connection.end_from_any_thread(CloseCode.NOT_ALLOWED, REASON)


def _forget(connection: Connection) -> None:
    with _lock:
        sockets = _sockets.get(connection.user_id, set())
        sockets.discard(connection)
        if not sockets:
            _sockets.pop(connection.user_id, None)
