"""Group commit: the events of all of a process's runs, written together in one statement."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from psycopg.types.json import Jsonb

from agents.event_sinks import publish_delta, publish_events
from agents.events import Delta, Event
from contexts.scope import async_scope

# An event is written only while its run is still with the attempt that reports it; the shared lock on
# the run's row makes a take-over wait until the events before it are committed.
_INSERT = """
INSERT INTO agents_runevent
    (run_id, seq, tenant_id, user_id, thread_id, type, agent_name, data, created_at)
SELECT new.run_id, new.seq, run.tenant_id, run.user_id, run.thread_id, new.type, new.agent_name,
       new.data, new.created_at
FROM unnest(%s::uuid[], %s::int[], %s::int[], %s::text[], %s::text[], %s::jsonb[], %s::timestamptz[])
    AS new (run_id, attempt, seq, type, agent_name, data, created_at)
JOIN agents_run AS run ON run.id = new.run_id AND run.attempt = new.attempt AND run.status = 'running'
FOR SHARE OF run
RETURNING run_id, seq
"""


class FencedError(Exception):
    """The run has ended or gone to another attempt: this one may write nothing more."""


@dataclass(slots=True)
class _Pending:
    event: Event
    attempt: int
    committed: asyncio.Future[None]


class EventWriter:
    """Writes events in groups and publishes them in the order of their commit.

    While one group is being written the next collects, so a lone event waits for nothing and many
    share a round trip. Belongs to one event loop; `close()` ends its two tasks.
    """

    def __init__(self) -> None:
        """Start the tasks in the running loop."""
        self._pending: list[_Pending] = []
        self._arrived = asyncio.Event()
        self._outgoing: asyncio.Queue[Sequence[Event] | Delta] = asyncio.Queue()
        self._tasks = [
            # They outlive whatever execution context is current now, and must not keep it.
            asyncio.create_task(self._write(), name="event-writer", context=Context()),
            asyncio.create_task(self._publish(), name="event-publisher", context=Context()),
        ]

    async def append(self, event: Event, *, attempt: int) -> None:
        """Return when `event` is committed; it is published soon after.

        Raises:
            FencedError: when `attempt` is not the run's any more.
            psycopg.Error: when the database refuses or does not answer.
        """
        pending = _Pending(event, attempt, asyncio.get_running_loop().create_future())
        self._pending.append(pending)
        self._arrived.set()
        await pending.committed

    def publish(self, item: Sequence[Event] | Delta) -> None:
        """Publish events that are committed already, or a delta, after all that came before."""
        self._outgoing.put_nowait(item)

    async def flush(self) -> None:
        """Return when everything handed to `publish` so far was published."""
        await self._outgoing.join()

    async def close(self) -> None:
        """Publish what is left and end the tasks."""
        await self.flush()
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task

    async def _write(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            group, self._pending = self._pending, []
            try:
                await self._commit(group)
            except Exception as error:  # noqa: BLE001 - whatever it is, whoever appended hears of it
                if len(group) == 1:
                    _fail(group[0], error)
                    continue
                # One bad event must not take the others with it.
                for pending in group:
                    try:
                        await self._commit([pending])
                    except Exception as own_error:  # noqa: BLE001
                        _fail(pending, own_error)
            except asyncio.CancelledError:
                for pending in group:
                    pending.committed.cancel()
                raise

    async def _commit(self, group: Sequence[_Pending]) -> None:
        events = [pending.event for pending in group]
        async with async_scope("event_log") as connection:
            cursor = await connection.execute(
                _INSERT,
                [
                    [event.run_id for event in events],
                    [pending.attempt for pending in group],
                    [event.seq for event in events],
                    [event.type for event in events],
                    [event.agent_name for event in events],
                    [Jsonb(event.data) for event in events],
                    [event.created_at for event in events],
                ],
            )
            written = {(row[0], row[1]) for row in await cursor.fetchall()}
        accepted = [pending for pending in group if (pending.event.run_id, pending.event.seq) in written]
        if accepted:
            self.publish([pending.event for pending in accepted])
        for pending in group:
            if (pending.event.run_id, pending.event.seq) in written:
                if not pending.committed.done():
                    pending.committed.set_result(None)
            else:
                _fail(
                    pending,
                    FencedError(f"Run {pending.event.run_id} is no longer attempt {pending.attempt}'s."),
                )

    async def _publish(self) -> None:
        while True:
            item = await self._outgoing.get()
            try:
                if isinstance(item, Delta):
                    await publish_delta(item)
                else:
                    await publish_events(item)
            finally:
                self._outgoing.task_done()


def _fail(pending: _Pending, error: Exception) -> None:
    if not pending.committed.done():
        pending.committed.set_exception(error)


_writers: WeakKeyDictionary[asyncio.AbstractEventLoop, EventWriter] = WeakKeyDictionary()


def get_event_writer() -> EventWriter:
    """Return the running loop's writer, started at first use."""
    loop = asyncio.get_running_loop()
    if loop not in _writers:
        _writers[loop] = EventWriter()
    return _writers[loop]


async def close_event_writer() -> None:
    """Close the running loop's writer, if there is one."""
    writer = _writers.pop(asyncio.get_running_loop(), None)
    if writer is not None:
        await writer.close()
