"""What sockets do by the clock: sign-ins end, contexts are renewed, lost events are found in the log."""

import asyncio
import logging
import time
from contextvars import Context
from datetime import UTC, datetime, timedelta
from uuid import UUID
from weakref import WeakKeyDictionary

from agents.event_records import last_numbers, runs_begun
from contexts.context import UserExecutionContext
from contexts.database import call_in_thread
from contexts.exceptions import ContextClosedError, NetraError
from contexts.manager import TIME_TO_LIVE, get_context_manager
from contexts.records import renew_record
from contexts.selectors import standing_of
from contexts.tasks import end_task
from realtime.connection import Connection
from realtime.envelopes import Envelope
from realtime.fanout import get_fanout
from realtime.protocol import CloseCode, SessionExpiring

logger = logging.getLogger(__name__)

TICK_S = 1.0
EXPIRY_NOTICE = timedelta(seconds=60)
RENEW_CONTEXT_AFTER = TIME_TO_LIVE / 2
SILENCE_S = 5.0
"""A run under way that is silent for so many seconds is looked up in the log."""
DOUBTFUL_SILENCE_S = 0.8
"""The same while the channel layer carries nothing."""
CLOCKS_DIFFER = timedelta(seconds=5)
"""Of the database and this process, at most."""


class SocketClock:
    """Watches over an event loop's sockets, with one task for all."""

    def __init__(self) -> None:
        """Watch over none yet."""
        self._connections: set[Connection] = set()
        self._ticking: asyncio.Task[None] | None = None
        self._renewals: set[asyncio.Task[None]] = set()
        self._losses = 0
        self._looked_at = float("-inf")
        self._known_until = datetime.min.replace(tzinfo=UTC) + CLOCKS_DIFFER
        """Runs asked for earlier are known, or were not watched."""

    def add(self, connection: Connection) -> None:
        """Look after a socket, and listen to what other processes send."""
        self._connections.add(connection)
        get_fanout().add_socket()
        if self._ticking is None:
            self._ticking = connection.loop.create_task(self._run(), name="socket-clock", context=Context())

    async def remove(self, connection: Connection) -> None:
        """Look after a socket no longer."""
        self._connections.discard(connection)
        if not self._connections and self._ticking is not None:
            ticking, self._ticking = self._ticking, None
            await end_task(ticking)
            if self._renewals:
                await asyncio.wait(self._renewals)
        await get_fanout().remove_socket()

    async def _run(self) -> None:
        while True:
            try:
                self.tick(now=datetime.now(UTC))
                await self.catch_up()
            except Exception:
                logger.exception("The clock of the sockets failed; it goes on")
            await asyncio.sleep(TICK_S)

    def tick(self, *, now: datetime) -> None:
        """Do what is due at `now`."""
        for connection in [each for each in self._connections if each.due_at <= now]:
            if not connection.ended.done():
                self._attend(connection, now)

    def _attend(self, connection: Connection, now: datetime) -> None:
        expires_at = connection.expires_at
        if expires_at <= now:
            connection.end(CloseCode.NOT_SIGNED_IN, "The sign-in has expired.")
            return
        if expires_at - now <= EXPIRY_NOTICE and connection.noticed_expiry != expires_at:
            connection.noticed_expiry = expires_at
            connection.deliver([Envelope.of_account(_notice(connection))])
        if now - connection.renewed_at >= RENEW_CONTEXT_AFTER:
            connection.renewed_at = now
            renewal = connection.loop.create_task(_renew_context(connection, now), name="renew-context")
            self._renewals.add(renewal)
            renewal.add_done_callback(self._renewals.discard)
        was_noticed = connection.noticed_expiry == expires_at
        connection.due_at = min(
            expires_at if was_noticed else expires_at - EXPIRY_NOTICE,
            connection.renewed_at + RENEW_CONTEXT_AFTER,
        )

    async def catch_up(self) -> None:
        """Read from the log what may have been published without being heard here."""
        fanout = get_fanout()
        patience = SILENCE_S if fanout.is_whole else DOUBTFUL_SILENCE_S
        if fanout.losses != self._losses:
            patience = 0.0
        now = time.monotonic()
        if fanout.is_shared and now - self._looked_at >= patience:
            await self._find_unheard_runs()
        await self._look_up_silent_runs(since=now - patience)
        self._losses = fanout.losses

    async def _look_up_silent_runs(self, *, since: float) -> None:
        silent = [
            (connection, run_id)
            for connection in self._connections
            if connection.feed.is_following and not connection.is_reading
            for run_id in connection.feed.silent_runs(since=since)
        ]
        if not silent:
            return
        last = await last_numbers({run_id for _, run_id in silent})
        for connection, run_id in silent:
            if run_id not in last:
                connection.feed.forget(run_id)
            elif last[run_id] > connection.feed.last_sent(run_id):
                connection.read_log(run_id)
            else:
                connection.feed.note_heard(run_id, now=time.monotonic())

    async def _find_unheard_runs(self) -> None:
        """Find runs of watched threads of which not even the first event has come."""
        watching: dict[UUID, list[Connection]] = {}
        since: dict[UUID, datetime] = {}
        for connection in self._connections:
            for thread_id, watched_at in connection.feed.watched.items():
                watching.setdefault(thread_id, []).append(connection)
                since[thread_id] = min(watched_at, since.get(thread_id, watched_at))
        if not since:
            return
        looked_at, moment = time.monotonic(), datetime.now(UTC)
        known = self._known_until - CLOCKS_DIFFER
        begun = await runs_begun({thread: max(at - CLOCKS_DIFFER, known) for thread, at in since.items()})
        for run in begun:
            for connection in watching[run.thread_id]:
                feed = connection.feed
                began = feed.watched.get(run.thread_id)
                if began is None or feed.knows(run.run_id):
                    continue
                if run.created_at >= began - CLOCKS_DIFFER:
                    feed.begin(run.run_id, thread_id=run.thread_id, after=0, now=looked_at)
                    connection.read_log(run.run_id)
        self._looked_at, self._known_until = looked_at, moment


def _notice(connection: Connection) -> SessionExpiring:
    return SessionExpiring(user_id=connection.user_id, expires_at=connection.expires_at)


async def _renew_context(connection: Connection, now: datetime) -> None:
    """Give a socket's context another time to live, if its user may still be here."""
    context = connection.context
    try:
        get_context_manager().renew(context, now=now)
        await call_in_thread(_renew_record, context, now=now)
    except ContextClosedError:
        connection.end(CloseCode.SERVER_RESTART, "The connection's time is up; connect again.")
    except NetraError as error:
        connection.refuse(error)
    except Exception:
        logger.exception("The context of a socket of user %s could not be renewed", connection.user_id)
        connection.end(CloseCode.SERVER_RESTART, "The connection's time is up; connect again.")


def _renew_record(context: UserExecutionContext, *, now: datetime) -> None:
    standing_of(context.user_id, tenant_id=context.tenant_id)
    renew_record(context, now=now)


_clocks: WeakKeyDictionary[asyncio.AbstractEventLoop, SocketClock] = WeakKeyDictionary()


def get_socket_clock() -> SocketClock:
    """Return the running event loop's clock."""
    return _clocks.setdefault(asyncio.get_running_loop(), SocketClock())
