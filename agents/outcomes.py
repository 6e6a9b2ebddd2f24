"""How a run ends: its last event, message, usage and settlement, in one transaction."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

from agents.event_records import next_seq, store_event
from agents.events import Event
from agents.line import admit_after_end, lock_line, run_reservation
from agents.models import Author, Message, Run, RunStep
from agents.models.runs import OPEN_STATUSES, RunStatus
from agents.storable import storable
from agents.usage import Usage
from contexts.audit import record_system_audit
from contexts.context import UserExecutionContext
from contexts.exceptions import NetraError, RunFailedError
from contexts.identifiers import new_id
from contexts.quotas import settle_quota
from contexts.scope import owner_scope


@dataclass(frozen=True, kw_only=True, slots=True)
class RunOutcome:
    """The end of a run: exactly one of completed, failed, cancelled."""

    status: RunStatus
    event_type: str
    data: dict[str, Any]
    usage: Usage = field(default_factory=Usage)

    @classmethod
    def completed(
        cls, *, answer: str, html: str, recommendations: list[dict[str, Any]], usage: Usage, duration_ms: int
    ) -> Self:
        """The run has an answer (Markdown and safe HTML)."""
        data = {
            "message_id": str(new_id()),
            "final_response": answer,
            "final_response_html": html,
            "recommendations": recommendations,
            "usage": usage.to_json(),
            "duration_ms": duration_ms,
        }
        return cls(status=RunStatus.COMPLETED, event_type="agent_completed", data=data, usage=usage)

    @classmethod
    def failed(cls, error: NetraError, *, usage: Usage | None = None) -> Self:
        """The run ended with `error`, whose message the user may read."""
        retryable = error.retryable if isinstance(error, RunFailedError) else error.code == "unavailable"
        data = {"code": error.code, "message": error.message, "retryable": retryable}
        return cls(status=RunStatus.FAILED, event_type="run_failed", data=data, usage=usage or Usage())

    @classmethod
    def cancelled(cls, *, by: str, usage: Usage | None = None) -> Self:
        """The run was stopped by `by`, such as `user`."""
        return cls(
            status=RunStatus.CANCELLED, event_type="run_cancelled", data={"by": by}, usage=usage or Usage()
        )


def finish_run(context: UserExecutionContext, outcome: RunOutcome, *, attempt: int) -> Event | None:
    """End the context's run as attempt `attempt`; return its last event, none when it may not any more.

    A run whose cancellation was asked for before it ended is cancelled, whatever it came to. The
    context may have been quarantined: its run ends all the same.
    """
    assert context.run_id is not None
    with owner_scope(user_id=context.user_id, tenant_id=context.tenant_id):
        run = Run.objects.select_for_update().get(id=context.run_id)
        if run.attempt != attempt or run.status != RunStatus.RUNNING:
            return None
        if run.cancel_requested_at is not None:
            outcome = RunOutcome.cancelled(by=run.cancel_requested_by or "user", usage=outcome.usage)
        return close_run(run, outcome)


def close_run(run: Run, outcome: RunOutcome) -> Event:
    """End a run whose row the caller's transaction has locked; return its last event.

    Raises:
        ValueError: when it has already ended.
    """
    if run.status not in OPEN_STATUSES:
        raise ValueError(f"Run {run.id} has already ended.")
    event = Event(
        run_id=run.id,
        thread_id=run.thread_id,
        tenant_id=run.tenant_id,
        user_id=run.user_id,
        seq=next_seq(run.id),
        type=outcome.event_type,
        agent_name="triage",
        created_at=datetime.now(UTC),
        data=storable(outcome.data),
    )
    store_event(event)
    if outcome.status == RunStatus.COMPLETED:
        Message.objects.create(
            id=outcome.data["message_id"],
            tenant_id=run.tenant_id,
            user_id=run.user_id,
            thread_id=run.thread_id,
            run=run,
            author=Author.ASSISTANT,
            text=event.data["final_response"],
        )
    run.status = outcome.status
    run.finished_at = event.created_at
    run.input_tokens = outcome.usage.input_tokens
    run.output_tokens = outcome.usage.output_tokens
    run.cost_usd = outcome.usage.cost_usd
    run.error_code = outcome.data.get("code", "")
    run.error_message = outcome.data.get("message", "")
    run.save()
    RunStep.objects.filter(run_id=run.id).delete()
    lock_line(tenant_id=run.tenant_id, user_id=run.user_id)
    # What the models and tools used was drawn as they used it. A run that never began cost nothing.
    settle_quota(run_reservation(run), {"agent_runs": 1} if run.attempt else {})
    admit_after_end(tenant_id=run.tenant_id, user_id=run.user_id)
    record_system_audit(
        outcome.event_type,
        tenant_id=run.tenant_id,
        user_id=run.user_id,
        run_id=run.id,
        usage=outcome.usage.to_json(),
        code=run.error_code,
        events=event.seq,
    )
    return event
