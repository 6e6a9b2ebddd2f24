"""Event rows: written by a service inside a transaction of its own, and counted."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db.models import Max

from agents.events import Event
from agents.models import RunEvent
from contexts.scope import async_scope

_LAST = """
SELECT run.id, coalesce((SELECT max(seq) FROM agents_runevent WHERE run_id = run.id), 0)
FROM agents_run AS run WHERE run.id = ANY (%s)
"""

_IS_ATTEMPT = "SELECT FROM agents_run WHERE id = %s AND attempt = %s AND status = 'running'"

_BEGUN = """
SELECT run.id, run.thread_id, run.created_at
FROM unnest(%s::uuid[], %s::timestamptz[]) AS watched (thread_id, since)
JOIN agents_run AS run ON run.thread_id = watched.thread_id AND run.created_at >= watched.since
"""


class BegunRun(NamedTuple):
    """A run, and when it was asked for."""

    run_id: UUID
    thread_id: UUID
    created_at: datetime


def store_event(event: Event) -> None:
    """Insert an event; the caller's transaction also owns its number."""
    RunEvent.objects.create(
        run_id=event.run_id,
        seq=event.seq,
        tenant_id=event.tenant_id,
        user_id=event.user_id,
        thread_id=event.thread_id,
        type=event.type,
        agent_name=event.agent_name,
        data=event.data,
        created_at=event.created_at,
    )


def last_seq(run_id: UUID) -> int:
    """Return the number of a run's last event, 0 when it has none."""
    last: int | None = RunEvent.objects.filter(run_id=run_id).aggregate(last=Max("seq"))["last"]
    return last or 0


def next_seq(run_id: UUID) -> int:
    """Return the number that a run's next event gets."""
    return last_seq(run_id) + 1


async def last_numbers(run_ids: Collection[UUID]) -> dict[UUID, int]:
    """Return the number of the last event of each run, whosesoever; runs that are gone are left out.

    Raises:
        UnavailableError: when no connection is free in time.
        psycopg.Error: when the database does not answer.
    """
    async with async_scope("event_log") as connection:
        cursor = await connection.execute(_LAST, [list(run_ids)])
        return dict(await cursor.fetchall())


async def is_attempt_of(run_id: UUID, attempt: int) -> bool:
    """Tell whether a run is being carried out, by the attempt of that number.

    Raises:
        UnavailableError, psycopg.Error: as `last_numbers` does.
    """
    async with async_scope("event_log") as connection:
        cursor = await connection.execute(_IS_ATTEMPT, [run_id, attempt])
        return await cursor.fetchone() is not None


async def runs_begun(threads: Mapping[UUID, datetime]) -> list[BegunRun]:
    """Return the runs of threads, whosesoever, asked for since the moment given for each thread (UTC).

    Raises:
        UnavailableError, psycopg.Error: as `last_numbers` does.
    """
    async with async_scope("event_log") as connection:
        cursor = await connection.execute(_BEGUN, [list(threads), list(threads.values())])
        return [BegunRun(*row) for row in await cursor.fetchall()]
