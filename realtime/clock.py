"""What a socket does by the clock: its sign-in ends, its context is renewed, lost events are found."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta

from contexts.context import UserExecutionContext
from contexts.database import call_in_thread
from contexts.exceptions import ContextClosedError, NetraError
from contexts.manager import TIME_TO_LIVE, get_context_manager
from contexts.records import renew_record
from contexts.selectors import standing_of
from realtime.connection import Connection
from realtime.managers import UserWebSocketManager
from realtime.protocol import CloseCode, SessionExpiring, close_code_of

logger = logging.getLogger(__name__)

TICK_S = 5.0
EXPIRY_NOTICE = timedelta(seconds=60)
RENEW_CONTEXT_AFTER = TIME_TO_LIVE / 2


class SocketClock:
    """Watches over one socket for as long as `run` is not cancelled."""

    def __init__(
        self,
        connection: Connection,
        manager: UserWebSocketManager,
        *,
        tick_s: float = TICK_S,
    ) -> None:
        """Look after `connection`, every `tick_s` seconds or when its sign-in is about to end."""
        self._connection = connection
        self._manager = manager
        self._tick_s = tick_s
        self._noticed: datetime | None = None
        self._renewed_at = connection.context.created_at

    async def run(self) -> None:
        """Tick until the socket's end is decided."""
        while not self._connection.ended.done():
            try:
                await self.tick(now=datetime.now(UTC))
            except Exception:
                logger.exception(
                    "The clock of a socket of user %s failed; it goes on", self._connection.user_id
                )
            remaining = (self._connection.expires_at - datetime.now(UTC)).total_seconds()
            notice = EXPIRY_NOTICE.total_seconds()
            until_due = remaining - notice if remaining > notice else remaining
            wait = min(self._tick_s, max(until_due, 0.01))
            self._connection.extended.clear()
            try:
                async with asyncio.timeout(wait):
                    await self._connection.extended.wait()
            except TimeoutError:
                continue

    async def tick(self, *, now: datetime) -> None:
        """Do what is due at `now`."""
        connection = self._connection
        if connection.expires_at <= now:
            connection.end(CloseCode.NOT_SIGNED_IN, "The sign-in has expired.")
            return
        if connection.expires_at - now <= EXPIRY_NOTICE and self._noticed != connection.expires_at:
            self._noticed = connection.expires_at
            await connection.answer(
                SessionExpiring(user_id=connection.user_id, expires_at=connection.expires_at)
            )
        connection.look_up_silent_runs()
        await self._manager.renew_subscription()
        if now - self._renewed_at >= RENEW_CONTEXT_AFTER:
            await self._renew_context(now)

    async def _renew_context(self, now: datetime) -> None:
        """Give the socket's context another time to live, if its user may still be here."""
        context = self._connection.context
        try:
            get_context_manager().renew(context, now=now)
            await call_in_thread(_renew_record, context, now=now)
        except ContextClosedError:
            self._connection.end(CloseCode.SERVER_RESTART, "The connection's time is up; connect again.")
            return
        except NetraError as error:
            self._connection.end(close_code_of(error), error.message)
            return
        self._renewed_at = now


def _renew_record(context: UserExecutionContext, *, now: datetime) -> None:
    standing_of(context.user_id, tenant_id=context.tenant_id)
    renew_record(context, now=now)
