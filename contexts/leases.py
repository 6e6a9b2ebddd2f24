"""Keeping reservations alive as long as this process works with them: one renewal for all, in one thread.

A reservation that nobody renews expires, and what it held is free again: so it is with those of a process
that died.
"""

import logging
import threading
from collections.abc import Callable
from uuid import UUID

from django.db import close_old_connections

from contexts.exceptions import UnavailableError
from contexts.quotas import RESERVATION_TTL, renew_quotas

logger = logging.getLogger(__name__)

RENEW_SECONDS = RESERVATION_TTL.total_seconds() / 4

OnLost = Callable[[], None]


class LeaseKeeper:
    """Renews the reservations it holds; its thread lives while there are any."""

    def __init__(self, *, every: float = RENEW_SECONDS) -> None:
        """Renew `every` so many seconds."""
        self._every = every
        self._held: dict[UUID, OnLost | None] = {}
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._thread: threading.Thread | None = None

    def __len__(self) -> int:
        return len(self._held)

    def hold(self, reservation_id: UUID, *, on_lost: OnLost | None = None) -> None:
        """Renew a reservation until `drop`; `on_lost` is called, in a thread, once it has ended anyway."""
        with self._lock:
            self._held[reservation_id] = on_lost
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="netra-leases", daemon=True)
                self._thread.start()

    def drop(self, reservation_id: UUID) -> bool:
        """Renew a reservation no more; return whether it was held."""
        with self._lock:
            was_held = reservation_id in self._held
            self._held.pop(reservation_id, None)
            if not self._held:
                self._wake.notify()
            return was_held

    def renew(self) -> None:
        """Renew all that is held, and tell whoever has lost theirs.

        Raises:
            UnavailableError: when the database does not answer; nothing is lost by that yet.
        """
        with self._lock:
            ids = set(self._held)
        if not ids:
            return
        alive = renew_quotas(ids)
        for lost in ids - alive:
            with self._lock:
                was_held = lost in self._held
                on_lost = self._held.pop(lost, None)
            if was_held:
                logger.warning("Reservation %s ended while it was in use", lost)
            if on_lost is not None:
                on_lost()

    def _work(self) -> None:
        try:
            while self._wait():
                try:
                    self.renew()
                except UnavailableError:
                    logger.exception("Reservations could not be renewed; it is tried again")
                finally:
                    close_old_connections()
        finally:
            close_old_connections()

    def _wait(self) -> bool:
        """Wait for the next round; return false, and forget the thread, once nothing is held any more."""
        with self._wake:
            self._wake.wait_for(lambda: not self._held, timeout=self._every)
            if self._held:
                return True
            self._thread = None
            return False


_keeper = LeaseKeeper()


def get_lease_keeper() -> LeaseKeeper:
    """Return this process's keeper."""
    return _keeper
