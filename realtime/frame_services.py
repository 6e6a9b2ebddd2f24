"""What a client frame asks of the services, each in a context of its own; synchronous."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from agents.cancelling import cancel_run
from agents.event_records import last_seq
from agents.events import TERMINAL_TYPES, Event
from agents.runs import StartedRun, start_run
from agents.selectors import events_of, open_attempts, run_of, thread_of
from contexts.context import UserExecutionContext
from contexts.exceptions import InvalidRequestError
from contexts.factory import UserContextFactory, managed_user_context
from contexts.scope import scope
from realtime.protocol import CancelRun, Resume, SendMessage


def send_message(user_id: UUID, frame: SendMessage) -> StartedRun:
    """Start the run that a message asks for; raises what `agents.runs.start_run` raises."""
    with _frame_context(user_id, "frame.send_message") as context:
        return start_run(
            context,
            thread_id=frame.thread_id,
            text=frame.text,
            dataset_ids=frame.dataset_ids,
            agent=frame.agent,
            idempotency_key=frame.idempotency_key,
            now=datetime.now(UTC),
        )


def stop_run(user_id: UUID, frame: CancelRun) -> None:
    """Cancel a run; raises what `agents.cancelling.cancel_run` raises."""
    with _frame_context(user_id, "frame.cancel_run") as context:
        cancel_run(context, frame.run_id)


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenRun:
    """An unfinished run: its attempt, and the number of its last event."""

    run_id: UUID
    attempt: int
    last_seq: int


def open_runs(user_id: UUID, thread_id: UUID) -> list[OpenRun]:
    """Return the unfinished runs of a thread, oldest first.

    Raises:
        NotFoundError: when the thread does not exist or is someone else's.
    """
    with _frame_scope(user_id, "frame.subscribe") as context:
        thread_of(context, thread_id)
        return [
            OpenRun(run_id=run_id, attempt=attempt, last_seq=last_seq(run_id))
            for run_id, attempt in open_attempts(context, thread_id).items()
        ]


def check_thread(user_id: UUID, thread_id: UUID) -> None:
    """Check that a thread is the user's.

    Raises:
        NotFoundError: when it does not exist or is someone else's.
    """
    with _frame_scope(user_id, "frame.unsubscribe") as context:
        thread_of(context, thread_id)


@dataclass(frozen=True, kw_only=True, slots=True)
class ResumedRun:
    """A run to go on with, and its events that the client lacks."""

    run_id: UUID
    thread_id: UUID
    cursor: int
    attempt: int
    events: list[Event]
    has_ended_at_cursor: bool


def resume_runs(user_id: UUID, frame: Resume) -> list[ResumedRun]:
    """Return for each cursor the run and its events after it; all of them or none.

    Raises:
        NotFoundError: when a run does not exist or is someone else's.
        InvalidRequestError: when a cursor is beyond its run's last event.
    """
    with _frame_scope(user_id, "frame.resume") as context:
        return [_resumed(context, run_id, cursor) for run_id, cursor in frame.cursors.items()]


def read_events(user_id: UUID, run_id: UUID, *, after: int) -> list[Event]:
    """Return a run's events numbered above `after`.

    Raises:
        NotFoundError: when the run does not exist or is someone else's.
    """
    with _frame_scope(user_id, "frame.replay") as context:
        return events_of(context, run_id, after=after)


def _resumed(context: UserExecutionContext, run_id: UUID, cursor: int) -> ResumedRun:
    run = run_of(context, run_id)
    events = events_of(context, run_id, after=max(cursor - 1, 0))
    ended = False
    if cursor > 0:
        if not events or events[0].seq != cursor:
            raise InvalidRequestError(f"Run {run_id} has no event number {cursor}.")
        ended = events[0].type in TERMINAL_TYPES
        events = events[1:]
    return ResumedRun(
        run_id=run_id,
        thread_id=run.thread_id,
        cursor=cursor,
        attempt=run.attempt,
        events=events,
        has_ended_at_cursor=ended,
    )


def _frame_context(user_id: UUID, operation: str) -> managed_user_context:
    return managed_user_context(UserContextFactory().for_request(user_id, operation=operation))


@contextmanager
def _frame_scope(user_id: UUID, operation: str) -> Iterator[UserExecutionContext]:
    with _frame_context(user_id, operation) as context, scope(context):
        yield context
