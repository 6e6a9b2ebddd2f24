"""The workers that live: those whose heartbeats the queue has seen lately."""

from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db import connection


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveWorker:
    """A worker that may take runs on."""

    id: int
    """The queue's number for it; another one after each start."""
    seen_at: datetime
    """Its latest heartbeat (UTC)."""


def live_workers() -> list[LiveWorker]:
    """Return the workers with a heartbeat within `NETRA_STALLED_AFTER_S`, the first started first.

    One that was stopped in order is none of them from then on. Workers are nobody's: no scope is needed.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, last_heartbeat FROM procrastinate_workers"
            " WHERE last_heartbeat > now() - make_interval(secs => %s) ORDER BY id",
            [settings.STALLED_AFTER_SECONDS],
        )
        return [LiveWorker(id=row[0], seen_at=row[1]) for row in cursor.fetchall()]
