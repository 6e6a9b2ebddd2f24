"""Ways around the quota of runs: replayed keys, cancelled and abandoned runs, forged owners."""

from datetime import UTC, datetime

import pytest

from agents.line import RUN_TTL, run_reservation
from agents.models import Run, RunStatus, Thread
from agents.outcomes import RunOutcome, finish_run
from agents.runs import start_run
from contexts.exceptions import ConflictError, InvalidRequestError, QuotaExceededError
from contexts.factory import UserContextFactory, managed_user_context
from contexts.models import QuotaReservation, QuotaUsage
from contexts.quotas import draw_quota, expire_quotas
from tests.agents.running import ask, begin, cancel
from tests.clients import client_of
from tests.contexts.quota_books import at_once, imbalances
from tests.factories import make_cast, make_thread

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.mission_critical("P4")]


@pytest.fixture
def cast(transactional_db):
    """Alice and bob of acme, and carol, who may have 10 runs a day and one at once."""
    yield make_cast()
    assert imbalances() == {}


def counted(user, resource):
    row = QuotaUsage.objects.filter(user=user, resource=resource).first()
    return (row.used, row.reserved) if row else (0, 0)


def open_context(user):
    return managed_user_context(UserContextFactory().for_request(user.id))


def test_a_key_replayed_many_times_at_once_counts_one_run(cast):
    def replay(_):
        with open_context(cast.carol) as context:
            return start_run(context, thread_id=None, text="Once", idempotency_key="k").run_id

    assert len(set(at_once(replay, range(12), threads=6))) == 1
    assert (Run.objects.count(), Thread.objects.count()) == (1, 1)
    assert counted(cast.carol, "agent_runs") == (0, 1)
    assert counted(cast.carol, "concurrent_runs") == (0, 1)


def test_a_key_is_no_way_around_a_used_up_limit(cast):
    def start(number):
        with open_context(cast.carol) as context:
            try:
                start_run(context, thread_id=None, text="A", idempotency_key=f"k{number}")
            except QuotaExceededError:
                return False
        return True

    answers = at_once(start, range(14), threads=6)
    assert answers.count(True) == 10
    assert counted(cast.carol, "agent_runs") == (0, 10)
    # One has the only place, the others wait.
    assert counted(cast.carol, "concurrent_runs") == (0, 1)
    assert Run.objects.exclude(job_id=None).count() == 1
    assert start(0)
    assert counted(cast.carol, "agent_runs") == (0, 10)


def test_a_run_that_is_cancelled_before_it_began_cost_nothing(cast):
    first, second = ask(cast.carol), ask(cast.carol)
    cancel(cast.carol, second)
    cancel(cast.carol, first)
    for resource in ("agent_runs", "concurrent_runs", "tokens", "cost_usd"):
        assert counted(cast.carol, resource) == (0, 0)
    assert not QuotaReservation.objects.exists()


def test_a_run_that_is_cancelled_while_it_works_keeps_what_it_used(cast):
    run_id = ask(cast.carol)
    begun = begin(run_id)
    run = Run.objects.get()
    assert draw_quota(run_reservation(run), {"tokens": 700, "cpu_seconds": 2})
    cancel(cast.carol, run_id)
    assert counted(cast.carol, "concurrent_runs") == (0, 1)  # it still works
    finish_run(begun.context, RunOutcome.cancelled(by="user"), attempt=begun.attempt)
    assert Run.objects.get().status == RunStatus.CANCELLED
    assert counted(cast.carol, "agent_runs") == (1, 0)
    assert counted(cast.carol, "tokens") == (700, 0)
    assert counted(cast.carol, "cpu_seconds") == (2, 0)
    assert counted(cast.carol, "concurrent_runs") == (0, 0)


def test_cancelling_again_and_again_frees_one_place(cast):
    runs = [ask(cast.carol) for _ in range(4)]

    def cancel_first(_):
        try:
            cancel(cast.carol, runs[0])
        except ConflictError:
            return False
        return True

    assert at_once(cancel_first, range(8), threads=6).count(True) == 1
    assert counted(cast.carol, "concurrent_runs") == (0, 1)
    assert counted(cast.carol, "agent_runs") == (0, 3)
    assert Run.objects.filter(status=RunStatus.QUEUED).exclude(job_id=None).count() == 1


def test_a_run_whose_worker_is_lost_for_good_gives_back_what_it_did_not_use(cast):
    run_id = ask(cast.carol)
    begin(run_id)
    draw_quota(run_reservation(Run.objects.get()), {"tokens": 700})
    assert expire_quotas(now=datetime.now(UTC) + RUN_TTL) == 1
    assert counted(cast.carol, "tokens") == (700, 0)
    assert counted(cast.carol, "concurrent_runs") == (0, 0)


FORGED = ("user_id", "tenant_id", "user", "tenant", "owner", "amount", "now", "limit")


@pytest.mark.mission_critical("P5")
@pytest.mark.parametrize("name", FORGED)
def test_a_forged_owner_in_a_body_charges_nobody_else(cast, name):
    thread = make_thread(cast.carol)
    forged = {"user_id": cast.alice.id, "user": cast.alice.id, "owner": cast.alice.id}
    value = str(forged.get(name, cast.acme.id))
    answer = client_of(cast.carol).post(
        f"/api/v1/threads/{thread.id}/runs?{name}={value}",
        {"text": "Whose?", name: value},
        format="json",
        headers={"X-User-Id": str(cast.alice.id), "X-Tenant-Id": str(cast.acme.id)},
    )
    # Refused for the unknown field, or carried out as her own.
    assert answer.status_code in {202, 400}
    assert not QuotaUsage.objects.exclude(user=cast.carol).exists()
    assert not Run.objects.exclude(user=cast.carol).exists()
    assert counted(cast.carol, "agent_runs")[1] == (1 if answer.status_code == 202 else 0)


@pytest.mark.mission_critical("P5")
def test_a_forged_owner_shows_nobody_elses_quota(cast):
    ask(cast.alice)
    for address in (f"?user_id={cast.alice.id}&tenant_id={cast.acme.id}", f"?user={cast.alice.id}"):
        shown = client_of(cast.carol).get(f"/api/v1/quotas{address}").json()
        runs = next(each for each in shown if each["resource"] == "agent_runs")
        assert (runs["limit"], runs["reserved"]) == (10, 0)
    for method in ("post", "put", "patch", "delete"):
        answer = getattr(client_of(cast.alice), method)("/api/v1/quotas", {"limit": 10**9}, format="json")
        assert answer.status_code == 405


def test_text_that_is_refused_costs_nothing(cast):
    with open_context(cast.carol) as context, pytest.raises(InvalidRequestError):
        start_run(context, thread_id=None, text="")
    assert counted(cast.carol, "messages") == (0, 0)
