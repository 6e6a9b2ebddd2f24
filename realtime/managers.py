"""The managers of this process's users' sockets: one object a user, none for nobody."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from channels.layers import get_channel_layer

from contexts.context import UserExecutionContext
from contexts.exceptions import ContextClosedError, ContextIsolationError, UnavailableError
from contexts.manager import get_context_manager
from realtime.connection import Connection
from realtime.envelopes import Envelope, unpack_envelopes
from realtime.groups import user_group
from realtime.protocol import CloseCode

logger = logging.getLogger(__name__)

RENEW_AFTER_S = 3_600.0
"""Seconds after which the group membership is renewed; the in-memory layer forgets it after a day."""
RETRY_S = 1.0


class UserWebSocketManager:
    """A user's sockets in this process, and their one subscription to the channel layer."""

    def __init__(self, user_id: UUID) -> None:
        """Belong to one user for good."""
        self.user_id = user_id
        self._connections: dict[UUID, Connection] = {}
        self._lock = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._channel = ""
        self._renewed_at = 0.0

    def __len__(self) -> int:
        return len(self._connections)

    async def add_connection(self, connection_id: UUID, connection: Connection) -> None:
        """Let a socket of the user have what is published for them.

        Raises:
            ContextIsolationError: when the socket is another user's.
            UnavailableError: when the channel layer does not answer.
        """
        if connection.user_id != self.user_id:
            raise ContextIsolationError("A socket was about to join another user's.")
        self._connections[connection_id] = connection
        try:
            async with self._lock:
                await self._subscribe()
        except BaseException:
            await self.remove_connection(connection_id)
            raise

    async def remove_connection(self, connection_id: UUID) -> None:
        """Let a socket go; with the last one the subscription ends and the manager is forgotten."""
        self._connections.pop(connection_id, None)
        if self._forget_if_empty():
            async with self._lock:
                await self._unsubscribe()

    async def renew_subscription(self) -> None:
        """Join the user's group again when the last time is an hour ago."""
        if asyncio.get_running_loop().time() - self._renewed_at < RENEW_AFTER_S:
            return
        async with self._lock:
            layer = get_channel_layer()
            if layer is not None and self._task is not None:
                await layer.group_add(user_group(self.user_id), self._channel)
                self._renewed_at = asyncio.get_running_loop().time()

    def deliver(self, envelopes: Sequence[Envelope]) -> None:
        """Hand envelopes to each of the user's sockets; one that fails is closed, the others go on."""
        for connection in list(self._connections.values()):
            try:
                connection.deliver(envelopes)
            except Exception:
                logger.exception("A socket of user %s failed", self.user_id)
                connection.end(CloseCode.TOO_SLOW, "Events could not be sent; resume.")

    async def close(self, code: CloseCode, reason: str) -> None:
        """End all the user's sockets here."""
        for connection_id, connection in list(self._connections.items()):
            connection.end(code, reason)
            await self.remove_connection(connection_id)

    def _forget_if_empty(self) -> bool:
        if self._connections:
            return False
        if _managers.get(self.user_id) is self:
            del _managers[self.user_id]
        return True

    async def _subscribe(self) -> None:
        if self._task is not None:
            return
        layer = get_channel_layer()
        if layer is None:
            raise UnavailableError("No channel layer is configured.")
        self._channel = await layer.new_channel()
        await layer.group_add(user_group(self.user_id), self._channel)
        self._renewed_at = asyncio.get_running_loop().time()
        self._task = asyncio.create_task(self._receive(), name="user-sockets")

    async def _unsubscribe(self) -> None:
        task, self._task = self._task, None
        if task is None:
            return
        layer = get_channel_layer()
        if layer is not None:
            await layer.group_discard(user_group(self.user_id), self._channel)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async def _receive(self) -> None:
        while True:
            layer = get_channel_layer()
            try:
                if layer is None:
                    raise UnavailableError("No channel layer is configured.")
                message = await layer.receive(self._channel)
                self.deliver(unpack_envelopes(message, user_id=self.user_id))
            except ContextIsolationError:
                logger.exception("A message for another user reached the group of user %s", self.user_id)
            except Exception:
                # What is lost meanwhile is read from the event log.
                logger.exception("The channel layer failed for user %s", self.user_id)
                await asyncio.sleep(RETRY_S)


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
    return _managers.setdefault(context.user_id, UserWebSocketManager(context.user_id))


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
        await manager.close(CloseCode.SERVER_RESTART, "The server restarts.")
    _managers.clear()
    return len(managers)
