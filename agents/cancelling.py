"""Having runs stopped: one that no worker has ends at once, one under way within a moment."""

from datetime import UTC, datetime
from uuid import UUID

from asgiref.sync import async_to_sync
from pydantic_core import from_json

from agents.event_sinks import publish_event
from agents.events import Event
from agents.models import Run, RunStep
from agents.models.runs import OPEN_STATUSES, CancelledBy, RunStatus
from agents.outcomes import RunOutcome, close_run
from agents.queueing import abort_job, is_under_way
from agents.selectors import run_of
from agents.usage import Usage
from contexts.audit import record_audit
from contexts.context import UserExecutionContext
from contexts.exceptions import ConflictError
from contexts.scope import scope


def cancel_run(context: UserExecutionContext, run_id: UUID, *, by: CancelledBy = CancelledBy.USER) -> None:
    """Stop one of the user's runs; it ends with exactly one `run_cancelled`, which says `by` whom.

    Raises:
        NotFoundError: when it does not exist or is someone else's.
        ConflictError: when it has already ended.
    """
    with scope(context, outermost=True):
        run = Run.objects.select_for_update().get(id=run_of(context, run_id).id)
        cancelled = request_cancel(run, by=by, now=datetime.now(UTC))
        record_audit(context, "run_cancel_requested", run=str(run_id), by=by)
    if cancelled is not None:
        async_to_sync(publish_event)(cancelled, context)


def request_cancel(run: Run, *, by: CancelledBy, now: datetime) -> Event | None:
    """Have a run stopped whose row the caller's transaction has locked; whoever asked first is named.

    Returns the last event of a run that no live worker has, for the caller to publish once it is committed;
    none when one has it, and ends it within a moment. A worker that was thought dead can write nothing after.

    Raises:
        ConflictError: when it has already ended.
    """
    if run.status not in OPEN_STATUSES:
        raise ConflictError(f"The run has already ended ({run.status}).")
    if run.cancel_requested_at is None:
        run.cancel_requested_at, run.cancel_requested_by = now, by
        run.save(update_fields=["cancel_requested_at", "cancel_requested_by"])
    abort_job(run)
    if run.status == RunStatus.RUNNING and is_under_way(run):
        return None
    by = CancelledBy(run.cancel_requested_by or by)
    return close_run(run, RunOutcome.cancelled(by=by, usage=_used_so_far(run)))


def _used_so_far(run: Run) -> Usage:
    """Return what the finished steps of a run have used."""
    used = Usage()
    contents = RunStep.objects.filter(run_id=run.id, name__contains=".model.")
    for content in contents.values_list("content", flat=True):
        used += Usage.from_json(from_json(content)["usage"])
    return used
