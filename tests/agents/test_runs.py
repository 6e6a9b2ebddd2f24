from datetime import UTC, datetime

import pytest
from procrastinate.contrib.django.models import ProcrastinateJob

from agents.cancelling import cancel_run
from agents.models import Message, Run, RunEvent, Thread
from agents.runs import start_run
from agents.selectors import events_of, run_of
from agents.threads import delete_thread
from contexts.exceptions import (
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    QuotaExceededError,
)
from contexts.factory import UserContextFactory, managed_user_context
from contexts.identifiers import new_id
from contexts.models import AuditEntry, Membership, QuotaUsage
from tests.factories import make_cast, make_dataset, make_thread

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
pytestmark = pytest.mark.django_db


@pytest.fixture
def cast():
    return make_cast()


def context_of(user):
    return managed_user_context(UserContextFactory().for_request(user.id))


def nothing_was_kept():
    return (
        not any(model.objects.exists() for model in (Thread, Message, Run, RunEvent, ProcrastinateJob))
        and not QuotaUsage.objects.filter(resource="agent_runs").exclude(used=0, reserved=0).exists()
    )


def test_a_question_becomes_a_thread_a_message_a_run_a_job_and_a_reservation(cast):
    dataset = make_dataset(cast.bob)
    with context_of(cast.alice) as context:
        started = start_run(
            context, thread_id=None, text="Where does it go?", dataset_ids=[dataset.id], now=NOW
        )
        run = run_of(context, started.run_id)
        events = events_of(context, started.run_id)
    assert started.is_new
    assert run.thread.title == "Where does it go?"
    assert [(event.seq, event.type) for event in events] == [(1, "run_queued")]
    assert Message.objects.get(run=run).text == "Where does it go?"
    assert ProcrastinateJob.objects.get(id=run.job_id).args["run_id"] == str(run.id)
    assert QuotaUsage.objects.get(user=cast.alice, resource="agent_runs").reserved == 1


@pytest.mark.mission_critical("P9")
@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"text": ""}, InvalidRequestError),
        ({"text": " \n "}, InvalidRequestError),
        ({"text": "x" * 10_001}, InvalidRequestError),
        ({"text": "a\0b"}, InvalidRequestError),
        ({"agent": "nobody"}, InvalidRequestError),
        ({"thread_id": new_id()}, NotFoundError),
        ({"dataset_ids": [new_id()]}, NotFoundError),
        ({"dataset_ids": [new_id() for _ in range(21)]}, InvalidRequestError),
        ({"idempotency_key": ""}, InvalidRequestError),
    ],
)
def test_bad_input_changes_nothing(cast, fields, error):
    with context_of(cast.alice) as context, pytest.raises(error):
        start_run(context, **{"thread_id": None, "text": "Hello", "now": NOW, **fields})
    assert nothing_was_kept()


@pytest.mark.mission_critical("P1")
def test_outsiders_cannot_use_a_thread_a_run_or_a_dataset(cast):
    thread, dataset = make_thread(cast.alice), make_dataset(cast.alice)
    with context_of(cast.alice) as context:
        run_id = start_run(context, thread_id=thread.id, text="Mine", now=NOW).run_id
    for outsider in (cast.bob, cast.carol):
        with context_of(outsider) as context:
            with pytest.raises(NotFoundError):
                start_run(context, thread_id=thread.id, text="Yours?", now=NOW)
            with pytest.raises(NotFoundError):
                cancel_run(context, run_id)
            with pytest.raises(NotFoundError):
                events_of(context, run_id)
    with context_of(cast.carol) as context, pytest.raises(NotFoundError):
        start_run(context, thread_id=None, text="Hello", dataset_ids=[dataset.id], now=NOW)
    assert Run.objects.count() == 1


@pytest.mark.mission_critical("P4")
def test_a_refused_run_leaves_only_its_audit_entry(cast):
    with context_of(cast.carol) as context:
        for number in range(10):
            start_run(context, thread_id=None, text=f"Question {number}", now=NOW)
        before = Thread.objects.count()
        with pytest.raises(QuotaExceededError) as refusal:
            start_run(context, thread_id=None, text="One too many", now=NOW)
    assert refusal.value.resource == "agent_runs"
    assert (Thread.objects.count(), Run.objects.count()) == (before, 10)
    assert AuditEntry.objects.filter(user=cast.carol, action="run_refused").count() == 1


def test_the_same_key_names_the_same_run(cast):
    with context_of(cast.alice) as context:
        first = start_run(context, thread_id=None, text="Once", idempotency_key="k", now=NOW)
        again = start_run(context, thread_id=None, text="Once", idempotency_key="k", now=NOW)
        with pytest.raises(ConflictError):
            start_run(context, thread_id=None, text="Something else", idempotency_key="k", now=NOW)
    assert (again.run_id, again.thread_id, again.is_new) == (first.run_id, first.thread_id, False)
    with context_of(cast.bob) as context:
        assert start_run(context, thread_id=None, text="Mine", idempotency_key="k", now=NOW).is_new


def test_viewers_may_only_look(cast):
    Membership.objects.filter(user=cast.bob).update(role="viewer")
    with context_of(cast.bob) as context, pytest.raises(PermissionDeniedError):
        start_run(context, thread_id=None, text="May I?", now=NOW)
    assert nothing_was_kept()


@pytest.mark.mission_critical("P3")
def test_a_waiting_run_is_cancelled_at_once_and_once(cast):
    with context_of(cast.alice) as context:
        started = start_run(context, thread_id=None, text="Never mind", now=NOW)
        cancel_run(context, started.run_id)
        with pytest.raises(ConflictError):
            cancel_run(context, started.run_id)
        events = events_of(context, started.run_id)
    assert [event.type for event in events] == ["run_queued", "run_cancelled"]
    assert Run.objects.get().status == "cancelled"
    assert not ProcrastinateJob.objects.filter(status="todo").exists()
    assert QuotaUsage.objects.get(user=cast.alice, resource="agent_runs").reserved == 0


def test_a_thread_with_a_run_under_way_is_not_deleted(cast):
    with context_of(cast.alice) as context:
        started = start_run(context, thread_id=None, text="Hello", now=NOW)
        with pytest.raises(ConflictError):
            delete_thread(context, started.thread_id)
        cancel_run(context, started.run_id)
        delete_thread(context, started.thread_id)
        with pytest.raises(NotFoundError):
            start_run(context, thread_id=started.thread_id, text="Still there?", now=NOW)
    assert not Run.objects.exists()
