"""Taking a queued run on: the next attempt, its context and what it starts from."""

from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from django.db.models import F

from agents.event_records import last_seq
from agents.events import Event
from agents.journal import NOTHING_EARLIER, Earlier
from agents.line import keep_place, lock_line
from agents.models import Message, Run, RunEvent, RunStep
from agents.models.runs import OPEN_STATUSES, RunStatus
from agents.outcomes import RunOutcome, close_run
from agents.state import DeepAgentState, Turn
from agents.told import ToldEvent
from agents.tools.datasets import ATTACHED_DATASETS
from contexts.context import UserExecutionContext
from contexts.exceptions import LimitError, NetraError, RunFailedError
from contexts.factory import RUN_LIMITS, UserContextFactory
from contexts.quotas import quotas_of
from contexts.resources import Resource
from contexts.scope import owner_scope

MAX_ATTEMPTS = 3
"""How often a run may be lost, those aside that were handed back."""
MAX_HAND_BACKS = 50
MAX_HISTORY = 20
MAX_TURN_LENGTH = 4_000


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
    earlier: Earlier = NOTHING_EARLIER
    """What earlier attempts did and told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedRun:
    """A run that could not be taken on and was ended.

    None: it had ended before, waits in line again, or is another worker's.
    """

    event: Event | None


def begin_run(
    run_id: UUID,
    factory: UserContextFactory,
    *,
    user_id: UUID,
    tenant_id: UUID,
    given_back: int | None = None,
) -> BegunRun | EndedRun:
    """Take a run of this owner on as its next attempt, which fences every earlier one.

    A run whose cancellation was asked for, that was lost too often, or whose user may no longer
    use it, is ended here. `given_back` is the attempt that its worker begins anew itself.
    """
    with ExitStack() as undo:
        with owner_scope(user_id=user_id, tenant_id=tenant_id):
            run = Run.objects.select_for_update().filter(id=run_id).first()
            if run is None or run.status not in OPEN_STATUSES:
                return EndedRun(event=None)
            if given_back is not None:
                if given_back != run.attempt:
                    return EndedRun(event=None)  # another worker has it by now
                run.hand_backs += 1
            outcome = _reason_to_end(run)
            if outcome is None:
                lock_line(tenant_id=tenant_id, user_id=user_id)
                try:
                    if not keep_place(run, attempt=run.attempt + 1):
                        Run.objects.filter(id=run.id).update(job_id=None, status=RunStatus.QUEUED)
                        return EndedRun(event=None)
                except LimitError as error:
                    outcome = RunOutcome.failed(error)
            if outcome is None:
                run.attempt += 1
                limits = quotas_of(run, resources=(*RUN_LIMITS, Resource.CONCURRENT_RUNS))
                run.status = RunStatus.RUNNING
                run.started_at = run.started_at or datetime.now(UTC)
                try:
                    context = factory.for_run(
                        user_id=run.user_id,
                        tenant_id=run.tenant_id,
                        thread_id=run.thread_id,
                        run_id=run.id,
                        limits=limits,
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
            run.save(update_fields=["attempt", "hand_backs", "status", "started_at", "model"])
            begun = _begun(run, context, concurrent_runs=int(limits[Resource.CONCURRENT_RUNS].limit))
        undo.pop_all()
        return begun


def end_cancelled_run(run_id: UUID, *, user_id: UUID, tenant_id: UUID) -> Event | None:
    """End a run whose cancellation was asked for; return its last event, none when it had ended before."""
    with owner_scope(user_id=user_id, tenant_id=tenant_id):
        run = Run.objects.select_for_update().filter(id=run_id, status__in=OPEN_STATUSES).first()
        if run is None or run.cancel_requested_at is None:
            return None
        return close_run(run, RunOutcome.cancelled(by=run.cancel_requested_by or "user"))


def fail_run(run_id: UUID, *, user_id: UUID, tenant_id: UUID) -> Event | None:
    """End a run that cannot be begun; return its last event, none when it had ended before."""
    with owner_scope(user_id=user_id, tenant_id=tenant_id):
        run = Run.objects.select_for_update().filter(id=run_id, status__in=OPEN_STATUSES).first()
        if run is None:
            return None
        error = RunFailedError("Something went wrong inside Netra.", code="internal", retryable=True)
        return close_run(run, RunOutcome.failed(error))


def note_hand_back(context: UserExecutionContext, *, attempt: int) -> None:
    """Note that an attempt at the context's run gave it back undone, which is no loss."""
    assert context.run_id is not None
    with owner_scope(user_id=context.user_id, tenant_id=context.tenant_id):
        runs = Run.objects.filter(id=context.run_id, attempt=attempt, status=RunStatus.RUNNING)
        runs.update(hand_backs=F("hand_backs") + 1)


def _begun(run: Run, context: UserExecutionContext, *, concurrent_runs: int) -> BegunRun:
    earlier = _earlier(run) if run.attempt > 1 else NOTHING_EARLIER
    return BegunRun(
        context=context,
        attempt=run.attempt,
        last_seq=last_seq(run.id),
        concurrent_runs=concurrent_runs,
        has_started=any(event.type == "agent_started" for event in earlier.events),
        earlier=earlier,
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
        return RunOutcome.cancelled(by=run.cancel_requested_by or "user")
    losses = run.attempt - run.hand_backs
    if losses >= MAX_ATTEMPTS or run.hand_backs > MAX_HAND_BACKS:
        return RunOutcome.failed(
            RunFailedError(
                f"The run was begun {run.attempt} times and lost each time.",
                code="worker_lost",
                retryable=True,
            )
        )
    return None


def _earlier(run: Run) -> Earlier:
    events = RunEvent.objects.filter(run_id=run.id).order_by("seq")
    told = events.values_list("type", "agent_name", "data", "created_at")
    return Earlier(
        steps=dict(RunStep.objects.filter(run_id=run.id).values_list("name", "content")),
        events=tuple(ToldEvent(*event) for event in told),
    )


def _history(run: Run) -> list[Turn]:
    earlier = Message.objects.filter(thread_id=run.thread_id, created_at__lt=run.created_at).exclude(
        run_id=run.id
    )
    newest_first = earlier.order_by("-created_at", "-id")[:MAX_HISTORY]
    return [
        Turn(author="user" if message.author == "user" else "assistant", text=message.text[:MAX_TURN_LENGTH])
        for message in reversed(newest_first)
    ]
