"""Group commit: the events and steps of all of a process's runs, written together in one round trip."""

import asyncio
import logging
from collections.abc import Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from psycopg import InterfaceError, OperationalError
from psycopg_pool import PoolTimeout

from agents.event_drafts import Draft, Numbering, Step
from agents.event_records import last_numbers
from agents.event_sinks import flush_sinks, hand_events
from agents.events import Event
from contexts.database import async_pool
from contexts.exceptions import FencedError as FencedError
from contexts.tasks import end_task

logger = logging.getLogger(__name__)

MAX_GROUP = 128
"""Events that are committed together at most; half of what waits for a socket's client at most."""
_APPEND = "SELECT netra_append_events(%s::jsonb, %s::int[], %s::uuid[])"
_APPEND_WITH_STEPS = (
    "SELECT netra_append_events("
    "%s::jsonb, %s::int[], %s::uuid[], %s::uuid[], %s::int[], %s::text[], %s::text[])"
)
_NO_CONNECTION = (OperationalError, InterfaceError, PoolTimeout, OSError)


@dataclass(slots=True, eq=False)
class _Pending:
    numbering: Numbering
    draft: Draft | None
    step: Step | None
    committed: asyncio.Future[Event | None]

    def resolve(self, event: Event | None) -> None:
        self._end()
        if not self.committed.done():
            self.committed.set_result(event)

    def fail(self, error: BaseException) -> None:
        self._end()
        if not self.committed.done():
            self.committed.set_exception(error)

    def _end(self) -> None:
        self.numbering.waiting -= 1
        if not self.numbering.waiting and self.numbering.idle is not None:
            self.numbering.idle.set()


class EventWriter:
    """Numbers events, writes them in groups and hands them to the sinks in the order of their commit.

    Steps are written with them, each together with the event that tells of it, if there is one.

    While one group is being written the next collects, so a lone event waits for nothing and many
    share a round trip. Belongs to one event loop; `close()` ends its task.
    """

    def __init__(self) -> None:
        """Start the task in the running loop."""
        self._pending: list[_Pending] = []
        self._arrived = asyncio.Event()
        # It outlives whatever execution context is current now, and must not keep it.
        self._task = asyncio.get_running_loop().create_task(
            self._write(), name="event-writer", context=Context()
        )

    def append(
        self, numbering: Numbering, draft: Draft | None, step: Step | None = None
    ) -> asyncio.Future[Event | None]:
        """Have an event, a step or both committed; the future has the event then, or says why not.

        They are written even when the future is cancelled. It raises

            FencedError: when the attempt is not the run's any more.
            psycopg.Error: when the database refuses or does not answer.
        """
        committed: asyncio.Future[Event | None] = asyncio.get_running_loop().create_future()
        self._pending.append(_Pending(numbering, draft, step, committed))
        numbering.waiting += 1
        self._arrived.set()
        return committed

    async def close(self) -> None:
        """Hand on what was written and end the task."""
        await flush_sinks()
        await end_task(self._task)

    async def _write(self) -> None:
        while True:
            await self._arrived.wait()
            group, self._pending = self._pending[:MAX_GROUP], self._pending[MAX_GROUP:]
            if not self._pending:
                self._arrived.clear()
            try:
                await self._write_group(group)
            except asyncio.CancelledError:
                for pending in group:
                    if not pending.committed.done():
                        pending.committed.cancel()
                raise
            del group  # which would keep its contexts until the next events come

    async def _write_group(self, group: Sequence[_Pending]) -> None:
        try:
            events = await _number(group)
            try:
                refused = await _commit(group, events)
            except _NO_CONNECTION as error:
                # If only the answer was lost, the database knows the events by their numbers.
                logger.warning("%d events are written again: %r", len(group), error)
                refused = await _commit(group, events)
        except _NO_CONNECTION as error:
            for pending in group:
                pending.numbering.is_certain = False
                pending.fail(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, whoever appended hears of it
            if len(group) == 1:
                group[0].fail(error)
                return
            # One bad event must not take the others with it.
            for pending in group:
                await self._write_group([pending])
        else:
            self._note(group, events, refused)

    def _note(self, group: Sequence[_Pending], events: Sequence[Event], refused: set[int]) -> None:
        written: dict[Numbering, list[Event]] = {}
        numbered = enumerate(events, 1)
        kept = 0
        for pending in group:
            numbering = pending.numbering
            is_refused = False
            event: Event | None = None
            if pending.draft is not None:
                place, event = next(numbered)
                is_refused = place in refused
            if pending.step is not None:
                kept += 1
                is_refused = is_refused or -kept in refused
            if is_refused:
                pending.fail(
                    FencedError(f"Run {numbering.run_id} is no longer attempt {numbering.attempt}'s.")
                )
                continue
            pending.resolve(event)
            if event is not None:
                numbering.last_seq = event.seq
                written.setdefault(numbering, []).append(event)
        for numbering, own in written.items():
            hand_events(own, numbering.context)


async def _number(group: Sequence[_Pending]) -> list[Event]:
    uncertain = {pending.numbering for pending in group if not pending.numbering.is_certain}
    if uncertain:
        await _look_up(uncertain)
    last: dict[Numbering, int] = {}
    events = []
    for pending in group:
        if pending.draft is not None:
            seq = last[pending.numbering] = last.get(pending.numbering, pending.numbering.last_seq) + 1
            events.append(pending.draft.number(pending.numbering, seq))
    return events


async def _commit(group: Sequence[_Pending], events: Sequence[Event]) -> set[int]:
    """Write numbered events and steps; return the places of those that may not be written any more.

    Places count from 1; those of steps are negative.
    """
    told = [pending.numbering for pending in group if pending.draft is not None]
    arguments: list[Any] = [
        f"[{','.join([event.encoded or '' for event in events])}]",
        f"{{{','.join([str(numbering.attempt) for numbering in told])}}}",
        f"{{{','.join({numbering.run_text for numbering in told})}}}",
    ]
    steps = [(pending.numbering, pending.step) for pending in group if pending.step is not None]
    if steps:
        arguments += (
            f"{{{','.join([numbering.run_text for numbering, _ in steps])}}}",
            f"{{{','.join([str(numbering.attempt) for numbering, _ in steps])}}}",
            [step.name for _, step in steps],
            [step.content for _, step in steps],
        )
    pool = await async_pool()
    connection = await pool.getconn()
    try:
        cursor = await connection.execute(_APPEND_WITH_STEPS if steps else _APPEND, arguments)
        row = await cursor.fetchone()
    finally:
        await pool.putconn(connection)
    return set(row[0] or ()) if row else set()


async def _look_up(numberings: set[Numbering]) -> None:
    """Read how far runs are whose events may have been written without an answer."""
    found = await last_numbers([numbering.run_id for numbering in numberings])
    for numbering in numberings:
        numbering.last_seq = found.get(numbering.run_id, 0)
        numbering.is_certain = True


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
