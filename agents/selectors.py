"""Reads: each sees only what the context's user may see."""

from typing import TypeVar
from uuid import UUID

from django.db.models import Model, QuerySet

from agents.events import Event
from agents.models import Chart, Dataset, Message, Run, RunEvent, Thread
from agents.models.runs import OPEN_STATUSES
from contexts.context import UserExecutionContext
from contexts.exceptions import NotFoundError

M = TypeVar("M", bound=Model)


def threads_of(context: UserExecutionContext) -> QuerySet[Thread]:
    """Return the user's conversations, the most recently used first."""
    return Thread.objects.filter(tenant_id=context.tenant_id, user_id=context.user_id)


def thread_of(context: UserExecutionContext, thread_id: UUID) -> Thread:
    """Return one of the user's conversations.

    Raises:
        NotFoundError: when it does not exist or is someone else's.
    """
    return _one(threads_of(context), thread_id, "conversation")


def messages_of(context: UserExecutionContext, thread_id: UUID) -> QuerySet[Message]:
    """Return a conversation's messages in order.

    Raises:
        NotFoundError: when the conversation does not exist or is someone else's.
    """
    return Message.objects.filter(thread=thread_of(context, thread_id))


def runs_of(context: UserExecutionContext) -> QuerySet[Run]:
    """Return the user's runs, newest first."""
    return Run.objects.filter(tenant_id=context.tenant_id, user_id=context.user_id)


def run_of(context: UserExecutionContext, run_id: UUID) -> Run:
    """Return one of the user's runs.

    Raises:
        NotFoundError: when it does not exist or is someone else's.
    """
    return _one(runs_of(context), run_id, "run")


def open_attempts(context: UserExecutionContext, thread_id: UUID) -> dict[UUID, int]:
    """Return a conversation's unfinished runs, oldest first, each with its attempt: 0 while it waits."""
    runs = runs_of(context).filter(thread_id=thread_id, status__in=OPEN_STATUSES)
    return dict(runs.order_by("created_at", "id").values_list("id", "attempt"))


def events_of(context: UserExecutionContext, run_id: UUID, *, after: int = 0) -> list[Event]:
    """Return a run's events numbered above `after`, in order.

    Raises:
        NotFoundError: when the run does not exist or is someone else's.
    """
    run = run_of(context, run_id)
    return [
        Event(
            run_id=row.run_id,
            thread_id=row.thread_id,
            tenant_id=row.tenant_id,
            user_id=row.user_id,
            seq=row.seq,
            type=row.type,
            agent_name=row.agent_name,
            created_at=row.created_at,
            data=row.data,
        )
        for row in RunEvent.objects.filter(run_id=run.id, seq__gt=after).order_by("seq")
    ]


def datasets_of(context: UserExecutionContext) -> QuerySet[Dataset]:
    """Return the datasets of the user's tenant, newest first."""
    return Dataset.objects.filter(tenant_id=context.tenant_id)


def dataset_of(context: UserExecutionContext, dataset_id: UUID) -> Dataset:
    """Return one of the tenant's datasets.

    Raises:
        NotFoundError: when it does not exist or is another tenant's.
    """
    return _one(datasets_of(context), dataset_id, "dataset")


def chart_of(context: UserExecutionContext, chart_id: UUID) -> Chart:
    """Return a chart from one of the user's runs.

    Raises:
        NotFoundError: when it does not exist or is someone else's.
    """
    charts = Chart.objects.filter(tenant_id=context.tenant_id, user_id=context.user_id)
    return _one(charts, chart_id, "chart")


def _one(rows: QuerySet[M], row_id: UUID, noun: str) -> M:
    row = rows.filter(id=row_id).first()
    if row is None:
        raise NotFoundError(f"There is no such {noun}.")
    return row
