"""Hearing of changes in every process, as soon as they are committed.

Triggers of the database (migrations `0010_tell_changes`, `0013_tell_sign_ins`) say what was changed and whom
it concerns: limits and grants, tiers, tenants, roles, who may sign in, sign-ins that were ended. Whoever
holds something open, or lets something wait, subscribes and looks again at what concerns it.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from contextvars import Context
from dataclasses import dataclass
from uuid import UUID
from weakref import WeakKeyDictionary

from psycopg import AsyncConnection, Error

from contexts.database import connection_parameters
from contexts.tasks import end_task

logger = logging.getLogger(__name__)

CHANNEL = "netra_changes"
APPLICATION_NAME = "netra-changes"
CONNECT_SECONDS = 10.0
HEARTBEAT_SECONDS = 20.0
"""After so long without a word the connection is tried, for one that died may look like silence."""
FIRST_DELAY_SECONDS = 0.1
LONGEST_DELAY_SECONDS = 5.0
RETRY_SECONDS = 0.5
SIGN_IN = "sign_in"
"""The kind of change that ended sign-ins: a log-out or another password. Nobody's rights are others then."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """That something was changed, and whom it concerns; an id that is not stated narrows nothing."""

    kind: str
    """`limits`, `tier`, `tenant`, `membership`, `user` or `SIGN_IN`; or see `LISTENING` and `ANYTHING`."""
    tenant_id: UUID | None = None
    """Only this tenant's members."""
    user_id: UUID | None = None
    """Only this user."""
    tier_id: UUID | None = None
    """Only tenants on this tier."""
    sign_in: str | None = None
    """Only the session whose key has this SHA-256 (hex)."""


LISTENING = Change(kind="listening")
"""From now on changes are heard; what happened just before may have been missed."""
ANYTHING = Change(kind="anything")
"""The connection was lost for a while: anything may have been changed."""

Receiver = Callable[[frozenset[Change]], Awaitable[None]]
"""Is given what has changed since the last time; when it raises, it is given the same again."""


class Subscription:
    """What one receiver has yet to be told, and the task that tells it."""

    def __init__(self, receive: Receiver, *, sign_ins: bool = False) -> None:
        """Tell `receive`, one call at a time; of sign-ins that end only if it wants that."""
        self._receive = receive
        self._sign_ins = sign_ins
        self._pending: set[Change] = set()
        self._arrived = asyncio.Event()
        # Outlives whatever context is current now, and must not keep it.
        self._task = asyncio.get_running_loop().create_task(
            self._work(), name="changes-receiver", context=Context()
        )

    def put(self, change: Change) -> None:
        """Have the receiver told, if it wants to know."""
        if change.kind == SIGN_IN and not self._sign_ins:
            return
        self._pending.add(change)
        self._arrived.set()

    async def stop(self) -> None:
        """Tell the receiver nothing more."""
        await end_task(self._task)

    async def _work(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            changes, self._pending = frozenset(self._pending), set()
            try:
                await self._receive(changes)
            except Exception:
                # Whoever lost a right would keep it if this were given up.
                logger.exception("%d changes could not be applied; it is tried again", len(changes))
                self._pending |= changes
                self._arrived.set()
                await asyncio.sleep(RETRY_SECONDS)


class ChangeListener:
    """Listens on a connection of its own for as long as anyone in this event loop has subscribed."""

    def __init__(self) -> None:
        """Listen to nothing until the first subscription."""
        self._subscriptions: list[Subscription] = []
        self._task: asyncio.Task[None] | None = None

    def subscribe(self, receive: Receiver, *, sign_ins: bool = False) -> Subscription:
        """Have `receive` told of every change from now on, and of `LISTENING` once that is so.

        It is told of sign-ins that end if `sign_ins` says so: they come often, and concern few.
        """
        subscription = Subscription(receive, sign_ins=sign_ins)
        self._subscriptions.append(subscription)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(
                self._listen(), name="changes-listener", context=Context()
            )
        return subscription

    async def unsubscribe(self, *subscriptions: Subscription) -> None:
        """Tell these receivers nothing more; with the last subscription the connection is closed."""
        for subscription in subscriptions:
            self._subscriptions.remove(subscription)
        task = None
        if not self._subscriptions:
            task, self._task = self._task, None
        for subscription in subscriptions:
            await subscription.stop()
        if task is not None:
            await end_task(task)

    async def _listen(self) -> None:
        missed = LISTENING
        delay = FIRST_DELAY_SECONDS
        while True:
            try:
                # Not `async with`, whose end may wait for a connection that is cancelled in between.
                connection = await self._connect()
                try:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    self._tell(missed)
                    missed, delay = ANYTHING, FIRST_DELAY_SECONDS
                    while True:
                        async for notification in connection.notifies(timeout=HEARTBEAT_SECONDS):
                            self._tell(_parse(notification.payload))
                        async with asyncio.timeout(CONNECT_SECONDS):
                            await connection.execute("SELECT 1")
                finally:
                    await connection.close()
            except (Error, OSError, TimeoutError) as error:
                logger.warning("Changes are not heard now; connecting again in %.1f s: %r", delay, error)
            await asyncio.sleep(delay)
            delay = min(2 * delay, LONGEST_DELAY_SECONDS)

    async def _connect(self) -> AsyncConnection:
        parameters = {**connection_parameters(), "application_name": APPLICATION_NAME}
        async with asyncio.timeout(CONNECT_SECONDS):
            return await AsyncConnection.connect(**parameters)

    def _tell(self, change: Change) -> None:
        for subscription in self._subscriptions:
            subscription.put(change)


_listeners: WeakKeyDictionary[asyncio.AbstractEventLoop, ChangeListener] = WeakKeyDictionary()


def get_change_listener() -> ChangeListener:
    """Return the running event loop's listener."""
    return _listeners.setdefault(asyncio.get_running_loop(), ChangeListener())


def _parse(payload: str) -> Change:
    try:
        said = json.loads(payload)
        ids = {name: UUID(said[name]) for name in ("tenant_id", "user_id", "tier_id") if said.get(name)}
        return Change(kind=str(said["kind"]), sign_in=said.get("sign_in"), **ids)
    except (ValueError, TypeError, KeyError, AttributeError):
        logger.exception("A change was told in words that are not understood; everything is looked at")
        return ANYTHING
