"""Writes: admitting runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from asgiref.sync import async_to_sync
from django.db import connection

from agents.catalog import CATALOG
from agents.event_records import store_event
from agents.event_sinks import publish_event
from agents.events import Event
from agents.line import join_line
from agents.models import Author, Message, Run, Thread
from agents.selectors import dataset_of
from agents.threads import lock_thread, require_member
from agents.waiting import waiting_for
from contexts.audit import record_audit
from contexts.context import UserExecutionContext
from contexts.exceptions import (
    ConflictError,
    InvalidRequestError,
    LimitError,
)
from contexts.quotas import expire_quotas, use_quota
from contexts.scope import scope

MAX_TEXT_LENGTH = 10_000
MAX_DATASETS = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class StartedRun:
    """A run that was admitted."""

    run_id: UUID
    thread_id: UUID
    is_new: bool
    """False when the idempotency key named a run that was already there."""


def start_run(
    context: UserExecutionContext,
    *,
    thread_id: UUID | None,
    text: str,
    dataset_ids: Sequence[UUID] = (),
    agent: str | None = None,
    idempotency_key: str | None = None,
    now: datetime | None = None,
) -> StartedRun:
    """Admit a question: reserve quota, keep the message and the run, and queue its job, all or nothing.

    `thread_id` none begins a conversation titled after the text.

    Raises:
        InvalidRequestError: for an empty or too long text, an unknown agent, or too many datasets.
        NotFoundError: when the conversation or a dataset does not exist or is someone else's.
        QuotaExceededError, RateLimitedError: when a limit is used up; only the refusal is kept.
        PermissionDeniedError: when the user may only look.
        ConflictError: when the idempotency key was used for another question.
    """
    require_member(context)
    _check(text, dataset_ids, agent, idempotency_key)
    # Before the transactions, which would hold what others need for as long as they last.
    expire_quotas(tenant_id=context.tenant_id, now=now)
    try:
        with scope(context, outermost=True):
            existing = _run_of_key(context, idempotency_key)
            if existing is not None:
                return _same_run(existing, text=text, thread_id=thread_id)
            use_quota(context, {"messages": 1}, now=now)
        with scope(context, outermost=True):
            if idempotency_key is not None:
                _lock_idempotency_key(context, idempotency_key)
                existing = _run_of_key(context, idempotency_key)
                if existing is not None:
                    return _same_run(existing, text=text, thread_id=thread_id)
            run, queued = _admit(context, thread_id, text, dataset_ids, agent, idempotency_key, now=now)
    except LimitError as refusal:
        with scope(context, outermost=True):
            record_audit(context, "run_refused", resource=refusal.resource, code=refusal.code)
        raise
    async_to_sync(publish_event)(queued, context)
    return StartedRun(run_id=run.id, thread_id=run.thread_id, is_new=True)


def _admit(
    context: UserExecutionContext,
    thread_id: UUID | None,
    text: str,
    dataset_ids: Sequence[UUID],
    agent: str | None,
    idempotency_key: str | None,
    *,
    now: datetime | None,
) -> tuple[Run, Event]:
    for dataset_id in dataset_ids:
        dataset_of(context, dataset_id)
    if thread_id is None:
        thread = Thread.objects.create(
            tenant_id=context.tenant_id, user_id=context.user_id, title=" ".join(text.split())[:80]
        )
    else:
        thread = lock_thread(context, thread_id)
        thread.title = thread.title or " ".join(text.split())[:80]
        thread.updated_at = now or datetime.now(UTC)
        thread.save(update_fields=["title", "updated_at"])
    run = Run.objects.create(
        tenant_id=context.tenant_id,
        user_id=context.user_id,
        thread=thread,
        text=text,
        agent=agent or "",
        dataset_ids=list(dict.fromkeys(dataset_ids)),
        idempotency_key=idempotency_key,
    )
    Message.objects.create(
        tenant_id=context.tenant_id,
        user_id=context.user_id,
        thread=thread,
        run=run,
        author=Author.USER,
        text=text,
    )
    # Last, as it locks the counters that every run of the tenant needs.
    position = join_line(context, run, now=now)
    queued = Event(
        run_id=run.id,
        thread_id=thread.id,
        tenant_id=context.tenant_id,
        user_id=context.user_id,
        seq=1,
        type="run_queued",
        agent_name=agent or "triage",
        created_at=datetime.now(UTC),
        data={
            "text": text,
            "dataset_ids": [str(item) for item in run.dataset_ids],
            "agent": agent,
            "position": position,
            "waiting_for": waiting_for(run, position),
        },
    )
    store_event(queued)
    record_audit(context, "run_started", run=str(run.id), position=position)
    return run, queued


def _check(text: str, dataset_ids: Sequence[UUID], agent: str | None, idempotency_key: str | None) -> None:
    if not text.strip():
        raise InvalidRequestError("The message is empty.")
    if len(text) > MAX_TEXT_LENGTH:
        raise InvalidRequestError(
            f"A message has at most {MAX_TEXT_LENGTH:,} characters; this one has {len(text):,}."
        )
    if "\0" in text or "\0" in (idempotency_key or ""):
        raise InvalidRequestError("A message cannot contain a NUL character.")
    if len(dataset_ids) > MAX_DATASETS:
        raise InvalidRequestError(f"A message names at most {MAX_DATASETS} datasets.")
    names = [specification.name for specification in CATALOG]
    if agent is not None and agent not in names:
        raise InvalidRequestError(f"There is no agent of that name; choose one of {', '.join(names)}.")
    if idempotency_key is not None and not 1 <= len(idempotency_key) <= 200:
        raise InvalidRequestError("An idempotency key has 1 to 200 characters.")


def _run_of_key(context: UserExecutionContext, key: str | None) -> Run | None:
    if key is None:
        return None
    return Run.objects.filter(user_id=context.user_id, idempotency_key=key).first()


def _same_run(existing: Run, *, text: str, thread_id: UUID | None) -> StartedRun:
    if existing.text != text or thread_id not in (None, existing.thread_id):
        raise ConflictError("The idempotency key was already used for another message.")
    return StartedRun(run_id=existing.id, thread_id=existing.thread_id, is_new=False)


def _lock_idempotency_key(context: UserExecutionContext, key: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"{context.user_id}:{key}"])
