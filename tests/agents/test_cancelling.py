"""Having runs stopped: each ends once, whoever asks and wherever its worker is."""

import pytest
from django.db import connection
from django.utils import timezone
from procrastinate.contrib.django import app
from procrastinate.contrib.django.models import ProcrastinateJob

from agents.cancelling import cancel_run
from agents.models import Run
from agents.models.runs import CancelledBy
from agents.outcomes import RunOutcome, finish_run
from agents.sign_out import cancel_runs_of
from agents.usage import Usage
from contexts.exceptions import ConflictError, NotFoundError
from contexts.factory import UserContextFactory, managed_user_context
from contexts.models import AuditEntry, QuotaReservation
from tests.agents.running import ask, begin, leave_nothing, stored_events, stored_types
from tests.factories import make_cast

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.mission_critical("P3")]


@pytest.fixture
def cast():
    yield make_cast()
    leave_nothing()


def _cancel(user, run_id, **how):
    with managed_user_context(UserContextFactory().for_request(user.id)) as context:
        cancel_run(context, run_id, **how)


def _lose_worker(run_id):
    """Have the worker of the run's job give no sign of life any more."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE procrastinate_workers SET last_heartbeat = now() - interval '1 hour' WHERE id ="
            " (SELECT worker_id FROM procrastinate_jobs WHERE id = %s)",
            [Run.objects.get(id=run_id).job_id],
        )


def _hand_back(run_id):
    """Have the run's job wait for the next worker, as when its own has stopped."""
    job = ProcrastinateJob.objects.get(id=Run.objects.get(id=run_id).job_id)
    app.job_manager.retry_job_by_id(job.id, retry_at=timezone.now())


@pytest.mark.parametrize("leave", [_lose_worker, _hand_back])
def test_a_run_that_no_live_worker_has_is_cancelled_at_once(cast, leave):
    run_id = ask(cast.alice)
    begun = begin(run_id)
    leave(run_id)
    _cancel(cast.alice, run_id)
    run = Run.objects.get(id=run_id)
    assert (run.status, run.cancel_requested_by) == ("cancelled", "user")
    assert stored_types(run_id) == ["run_queued", "run_cancelled"]
    assert not QuotaReservation.objects.exists()
    # The worker that was thought dead can end it no second time.
    assert finish_run(begun.context, RunOutcome.cancelled(by="user"), attempt=begun.attempt) is None
    with pytest.raises(ConflictError):
        _cancel(cast.alice, run_id)


def test_a_run_under_way_is_left_to_its_worker_and_names_who_asked_first(cast):
    run_id = ask(cast.alice)
    begun = begin(run_id)
    _cancel(cast.alice, run_id, by=CancelledBy.SIGN_OUT)
    _cancel(cast.alice, run_id)
    run = Run.objects.get(id=run_id)
    assert (run.status, run.cancel_requested_by) == ("running", "sign_out")
    assert ProcrastinateJob.objects.get(id=run.job_id).abort_requested
    used = Usage(input_tokens=7, output_tokens=3)
    event = finish_run(begun.context, RunOutcome.cancelled(by="user", usage=used), attempt=begun.attempt)
    assert (event.type, event.data) == ("run_cancelled", {"by": "sign_out"})
    run.refresh_from_db()
    assert (run.status, run.input_tokens, run.output_tokens) == ("cancelled", 7, 3)


def test_signing_out_cancels_what_is_open_if_asked_and_says_so(cast):
    run_id = ask(cast.alice)
    cancel_runs_of(cast.alice.id, cancel_runs=False)
    assert stored_types(run_id) == ["run_queued"]
    cancel_runs_of(cast.alice.id, cancel_runs=True)
    assert stored_events(run_id)[-1].data == {"by": "sign_out"}
    entry = AuditEntry.objects.get(action="run_cancel_requested")
    assert (entry.user, entry.details["by"], entry.details["run"]) == (cast.alice, "sign_out", str(run_id))


def test_an_outsider_cancels_nothing(cast):
    run_id = ask(cast.alice)
    for outsider in (cast.bob, cast.carol):
        with pytest.raises(NotFoundError):
            _cancel(outsider, run_id)
    assert Run.objects.get(id=run_id).cancel_requested_at is None
