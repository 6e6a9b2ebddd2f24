"""The managers of this process's users' sockets: one object a user, none for nobody."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from contexts.context import UserExecutionContext
from contexts.exceptions import ContextClosedError, ContextIsolationError
from contexts.manager import get_context_manager
from realtime.connection import Connection
from realtime.envelopes import Envelope, check_owner
from realtime.protocol import CloseCode

logger = logging.getLogger(__name__)


class UserWebSocketManager:
    """A user's sockets in this process, in the order in which they came."""

    __slots__ = ("_connections", "user_id")

    def __init__(self, user_id: UUID) -> None:
        """Belong to one user for good."""
        self.user_id = user_id
        self._connections: dict[UUID, Connection] = {}

    def __len__(self) -> int:
        return len(self._connections)

    def add_connection(self, connection_id: UUID, connection: Connection) -> None:
        """Let a socket of the user have what is sent to them.

        Raises:
            ContextIsolationError: when the socket is another user's.
        """
        if connection.user_id != self.user_id:
            raise ContextIsolationError("A socket was about to join another user's.")
        # This one may have been forgotten with its last socket, and another made since.
        _managers.setdefault(self.user_id, self)._connections[connection_id] = connection

    def remove_connection(self, connection_id: UUID) -> None:
        """Let a socket go; with the last one the manager is forgotten."""
        manager = _managers.get(self.user_id, self)
        manager._connections.pop(connection_id, None)
        manager.forget_if_empty()

    def forget_if_empty(self) -> None:
        """Leave the registry, unless there are sockets."""
        if not self._connections and _managers.get(self.user_id) is self:
            del _managers[self.user_id]

    def deliver(self, envelopes: Sequence[Envelope]) -> None:
        """Hand envelopes to each of the user's sockets; one that fails is closed, the others go on.

        Raises:
            ContextIsolationError: when an envelope is another user's; nothing is handed on.
        """
        check_owner(envelopes, self.user_id)
        here = asyncio.get_running_loop()
        for connection in list(self._connections.values()):
            if connection.loop is here:
                _hand(connection, envelopes)
            else:
                connection.loop.call_soon_threadsafe(_hand, connection, envelopes)

    def close(self, code: CloseCode, reason: str) -> None:
        """End all the user's sockets here, and be forgotten."""
        for connection_id, connection in list(self._connections.items()):
            connection.end(code, reason)
            self.remove_connection(connection_id)
        _managers.pop(self.user_id, None)


def _hand(connection: Connection, envelopes: Sequence[Envelope]) -> None:
    try:
        connection.deliver(envelopes)
    except Exception:
        logger.exception("A socket of user %s failed", connection.user_id)
        connection.end(CloseCode.TOO_SLOW, "Events could not be sent; resume.")


@dataclass(frozen=True, kw_only=True, slots=True)
class ManagerRegistryStatus:
    """How many users have how many sockets in this process."""

    managers: int
    """Users with a socket here."""
    connections: int
    """Sockets here."""
    connections_by_user: Mapping[UUID, int]
    """Sockets of each user."""


_managers: dict[UUID, UserWebSocketManager] = {}


def get_websocket_manager(context: UserExecutionContext) -> UserWebSocketManager:
    """Return the manager of the context's user, made when there is none.

    Raises:
        TypeError: for anything but a context.
        ContextClosedError: when the context is not open.
    """
    if not isinstance(context, UserExecutionContext):
        raise TypeError("A manager belongs to the user of an execution context.")
    if not get_context_manager().is_open(context):
        raise ContextClosedError("The execution context is not open.")
    made = UserWebSocketManager(context.user_id)
    manager = _managers.setdefault(context.user_id, made)
    if manager is made:
        # Whoever asked may never bring a socket.
        get_context_manager().on_close(context, made.forget_if_empty)
    return manager


def has_sockets(user_id: UUID) -> bool:
    """Tell whether a user has sockets in this process."""
    return user_id in _managers


def deliver_here(user_id: UUID, envelopes: Sequence[Envelope]) -> None:
    """Hand a user's envelopes to their sockets in this process, if there are any.

    Raises:
        ContextIsolationError: when an envelope is another user's.
    """
    manager = _managers.get(user_id)
    if manager is not None:
        manager.deliver(envelopes)


def get_manager_registry_status() -> ManagerRegistryStatus:
    """Return the counts of this process."""
    by_user = {user_id: len(manager) for user_id, manager in _managers.items()}
    return ManagerRegistryStatus(
        managers=len(by_user), connections=sum(by_user.values()), connections_by_user=by_user
    )


async def reset_manager_registry() -> int:
    """Close all sockets of this process, as for a restart; return how many users had any."""
    managers = list(_managers.values())
    for manager in managers:
        manager.close(CloseCode.SERVER_RESTART, "The server restarts.")
    _managers.clear()
    return len(managers)
