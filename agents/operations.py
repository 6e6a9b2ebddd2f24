"""What operators do with runs of any tenant: have them stopped, and asked again; the audit says who did."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from asgiref.sync import async_to_sync

from agents.cancelling import request_cancel
from agents.event_sinks import publish_event
from agents.models import Run
from agents.models.runs import WITHOUT_ANSWER, CancelledBy
from agents.runs import StartedRun, start_run
from contexts.audit import record_system_audit
from contexts.exceptions import ConflictError, NotFoundError
from contexts.factory import UserContextFactory, managed_user_context
from contexts.models import User
from contexts.scope import system_scope


def cancel_run_as_operator(run_id: UUID, *, operator: User | None, reason: str = "") -> None:
    """Stop a run of any tenant; its user is told that an operator did. Opens scopes itself; not within one.

    `operator` is none for whoever has a shell on the server.

    Raises:
        NotFoundError: when there is no such run.
        ConflictError: when it has already ended.
        UnavailableError: when the database does not answer.
    """
    with system_scope("cancel a run", actor=operator, always_audited=False):
        run = Run.objects.select_for_update().filter(id=run_id).first()
        if run is None:
            raise NotFoundError("There is no such run.")
        cancelled = request_cancel(run, by=CancelledBy.OPERATOR, now=datetime.now(UTC))
        _record("run_cancel_requested", run, operator, by=CancelledBy.OPERATOR, reason=reason)
    if cancelled is not None:
        async_to_sync(publish_event)(cancelled)


def retry_run_as_operator(run_id: UUID, *, operator: User | None, reason: str = "") -> StartedRun:
    """Ask again what a failed or cancelled run was asked, in its user's name and on their quota.

    The new run is of the same conversation; called again, this returns the same one. Opens scopes itself; not
    within one.

    Raises:
        NotFoundError: when there is no such run, or its conversation or a dataset is gone.
        ConflictError: when it has not ended, or has an answer.
        NotAuthenticatedError, PermissionDeniedError: when its user may not ask there any more.
        QuotaExceededError, RateLimitedError: when a limit of the user is used up.
        UnavailableError: when the database does not answer.
    """
    with system_scope("ask a run again", actor=operator):
        run = Run.objects.filter(id=run_id).first()
    if run is None:
        raise NotFoundError("There is no such run.")
    if run.status not in WITHOUT_ANSWER:
        raise ConflictError(f"Only what failed or was cancelled is asked again; this run is {run.status}.")
    context = UserContextFactory().for_command(
        run.user_id, operation="retry_by_operator", tenant_id=run.tenant_id
    )
    with managed_user_context(context):
        started = start_run(
            context,
            thread_id=run.thread_id,
            text=run.text,
            dataset_ids=run.dataset_ids,
            agent=run.agent or None,
            idempotency_key=f"retry of {run.id}",
            now=datetime.now(UTC),
        )
    if started.is_new:
        with system_scope("ask a run again", actor=operator, always_audited=False):
            _record("run_retried", run, operator, new_run=str(started.run_id), reason=reason)
    return started


def _record(action: str, run: Run, operator: User | None, *, reason: str, **details: Any) -> None:
    if reason.strip():
        details["reason"] = reason.strip()
    record_system_audit(
        action,
        tenant_id=run.tenant_id,
        user_id=operator.id if operator is not None else None,
        run_id=run.id,
        member=str(run.user_id),
        **details,
    )
