"""Taking a queued run on: the next attempt, its context and what it starts from."""

from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from agents.event_records import last_seq
from agents.events import Event
from agents.line import keep_place, lock_line
from agents.models import Message, Run, RunEvent
from agents.models.runs import OPEN_STATUSES, RunStatus
from agents.outcomes import RunOutcome, close_run
from agents.state import DeepAgentState, Turn
from agents.tools.datasets import ATTACHED_DATASETS
from contexts.context import UserExecutionContext
from contexts.exceptions import LimitError, NetraError, RunFailedError
from contexts.factory import UserContextFactory
from contexts.quotas import limit_of
from contexts.resources import Resource
from contexts.scope import owner_scope

MAX_ATTEMPTS = 3
MAX_HISTORY = 20
MAX_TURN_LENGTH = 4_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CutOffCall:
    """A tool call whose end nobody will tell any more."""

    agent_name: str
    call_id: str
    tool_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BegunRun:
    """A run that this process has taken on."""

    context: UserExecutionContext
    attempt: int
    last_seq: int
    has_started: bool
    """Whether an earlier attempt has told the user that it started."""
    concurrent_runs: int
    """How many runs the user may have at once."""
    state: DeepAgentState
    cut_off_calls: tuple[CutOffCall, ...]
    """Tool calls that an earlier attempt began and never told the end of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedRun:
    """A run that could not be taken on and was ended; none: it had ended before, or waits in line again."""

    event: Event | None


def begin_run(
    run_id: UUID, factory: UserContextFactory, *, user_id: UUID, tenant_id: UUID
) -> BegunRun | EndedRun:
    """Take a run of this owner on as its next attempt, which fences every earlier one.

    A run whose cancellation was asked for, that was lost too often, or whose user may no longer
    use it, is ended here.
    """
    with ExitStack() as undo:
        with owner_scope(user_id=user_id, tenant_id=tenant_id):
            run = Run.objects.select_for_update().filter(id=run_id).first()
            if run is None or run.status not in OPEN_STATUSES:
                return EndedRun(event=None)
            outcome = _reason_to_end(run)
            if outcome is None:
                lock_line(tenant_id=tenant_id, user_id=user_id)
                try:
                    if not keep_place(run):
                        Run.objects.filter(id=run.id).update(job_id=None, status=RunStatus.QUEUED)
                        return EndedRun(event=None)
                except LimitError as error:
                    outcome = RunOutcome.failed(error)
            if outcome is None:
                run.attempt += 1
                run.status = RunStatus.RUNNING
                run.started_at = run.started_at or datetime.now(UTC)
                try:
                    context = factory.for_run(
                        user_id=run.user_id,
                        tenant_id=run.tenant_id,
                        thread_id=run.thread_id,
                        run_id=run.id,
                        agent_context={
                            ATTACHED_DATASETS: [str(dataset_id) for dataset_id in run.dataset_ids]
                        },
                    )
                except NetraError as error:
                    outcome = RunOutcome.failed(error)
            if outcome is not None:
                return EndedRun(event=close_run(run, outcome))
            undo.callback(factory.manager.cleanup_context_sync, context.context_id)
            run.model = context.preferences.chosen_model
            run.save(update_fields=["attempt", "status", "started_at", "model"])
            begun = _begun(run, context)
        undo.pop_all()
        return begun


def _begun(run: Run, context: UserExecutionContext) -> BegunRun:
    is_resumed = run.attempt > 1
    return BegunRun(
        context=context,
        attempt=run.attempt,
        last_seq=last_seq(run.id),
        concurrent_runs=int(limit_of(context, Resource.CONCURRENT_RUNS)),
        has_started=is_resumed and RunEvent.objects.filter(run_id=run.id, type="agent_started").exists(),
        cut_off_calls=_cut_off_calls(run) if is_resumed else (),
        state=DeepAgentState(
            question=run.text,
            history=_history(run),
            asked_agent=run.agent or None,
            language=context.preferences.language or None,
            time_zone=context.preferences.time_zone,
        ),
    )


def _reason_to_end(run: Run) -> RunOutcome | None:
    if run.cancel_requested_at is not None:
        return RunOutcome.cancelled(by="user")
    if run.attempt >= MAX_ATTEMPTS:
        return RunOutcome.failed(
            RunFailedError(
                f"The run was begun {run.attempt} times and lost each time.",
                code="worker_lost",
                retryable=True,
            )
        )
    return None


def _cut_off_calls(run: Run) -> tuple[CutOffCall, ...]:
    events = RunEvent.objects.filter(run_id=run.id, type__in=("tool_executing", "tool_completed"))
    calls: dict[str, CutOffCall] = {}
    for event in events.order_by("seq"):
        call_id = event.data["call_id"]
        if event.type == "tool_completed":
            calls.pop(call_id, None)
        else:
            calls[call_id] = CutOffCall(
                agent_name=event.agent_name, call_id=call_id, tool_name=event.data["tool_name"]
            )
    return tuple(calls.values())


def _history(run: Run) -> list[Turn]:
    earlier = Message.objects.filter(thread_id=run.thread_id, created_at__lt=run.created_at).exclude(
        run_id=run.id
    )
    newest_first = earlier.order_by("-created_at", "-id")[:MAX_HISTORY]
    return [
        Turn(author="user" if message.author == "user" else "assistant", text=message.text[:MAX_TURN_LENGTH])
        for message in reversed(newest_first)
    ]
