"""A socket's place among those that its user may have open at once, wherever they are connected."""

import asyncio
import logging
from uuid import UUID

from contexts.context import UserExecutionContext
from contexts.database import call_in_thread
from contexts.exceptions import NetraError
from contexts.leases import get_lease_keeper
from contexts.quota_statements import Reservation
from contexts.quotas import release_quota
from contexts.sockets import release_place, take_place
from realtime.connection import Connection
from realtime.protocol import CloseCode
from realtime.unavailable import DATABASE_ERRORS, report_unavailable

logger = logging.getLogger(__name__)


class SocketPlace:
    """Keeps the place of one socket for as long as the socket is open."""

    def __init__(self, connection: Connection, reservation: Reservation) -> None:
        """Keep `reservation`, taken for `connection`, from now on."""
        self.connection = connection
        self._reservation = reservation
        self._loop = asyncio.get_running_loop()
        self._retaking: asyncio.Task[None] | None = None
        self._is_given_back = False
        self._keep()

    @property
    def lease_id(self) -> UUID:
        """Return the reservation's id."""
        return self._reservation.id

    async def give_back(self) -> None:
        """Have the place free for another socket; if the database does not answer, it is free in a minute."""
        self._is_given_back = True
        if self._retaking is not None:
            await self._retaking
        get_lease_keeper().drop(self.lease_id)
        await release_place(self._reservation)

    def _keep(self) -> None:
        get_lease_keeper().hold(self.lease_id, on_lost=self._note_loss)

    def _note_loss(self) -> None:
        """Take another place instead, as after a machine that slept; called in the keeper's thread."""
        try:
            self._loop.call_soon_threadsafe(self._begin_to_retake)
        except RuntimeError:
            logger.info("The place %s was lost by a socket that is gone", self.lease_id)

    def _begin_to_retake(self) -> None:
        if not self._is_given_back:
            self._retaking = asyncio.create_task(self._retake(), name="socket-place")

    async def _retake(self) -> None:
        try:
            self._reservation = await call_in_thread(
                _take_another, self.connection.context, self._reservation
            )
        except NetraError as error:
            self.connection.refuse(error)
        except DATABASE_ERRORS as error:
            self.connection.end(CloseCode.SERVER_RESTART, report_unavailable(error).message)
        else:
            self._keep()


def _take_another(context: UserExecutionContext, lost: Reservation) -> Reservation:
    # Expired, but perhaps not refunded yet.
    release_quota(lost)
    return take_place(context)
