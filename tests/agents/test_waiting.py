"""What a queued run waits for: as of the question in its first event, by now over REST."""

from datetime import timedelta

import pytest
from django.db import connection
from procrastinate.contrib.django.models import ProcrastinateJob

from agents.models import Run, RunEvent
from agents.workers import live_workers
from contexts.models import TierLimit
from tests.agents.running import ask, cancel
from tests.clients import client_of
from tests.factories import make_cast

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _no_workers():
    # Tables that are not the project's own, which nobody empties between tests.
    yield
    ProcrastinateJob.objects.all().delete()
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM procrastinate_workers")


@pytest.fixture
def carol():
    """A member of a tenant on the free tier: one run at once."""
    return make_cast().carol


def beat(*, ago: timedelta = timedelta(0)) -> int:
    """Have a worker be seen so long ago."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - %s) RETURNING id", [ago]
        )
        return int(cursor.fetchone()[0])


def told(run_id):
    """Return what the run's first event says."""
    data = RunEvent.objects.get(run_id=run_id, seq=1).data
    return data["position"], data["waiting_for"]


def by_now(user, run_id):
    """Return what the run waits for by now, as its user is told."""
    run = client_of(user).get(f"/api/v1/runs/{run_id}").json()
    return run["position"], run["waiting_for"]


def test_workers_live_for_as_long_as_they_are_heard(settings):
    lost = beat(ago=timedelta(seconds=settings.STALLED_AFTER_SECONDS + 1))
    first, second = beat(ago=timedelta(seconds=1)), beat()
    workers = live_workers()
    assert [worker.id for worker in workers] == [first, second]
    assert lost not in [worker.id for worker in workers]
    assert workers[0].seen_at < workers[1].seen_at


def test_a_queued_run_says_what_it_waits_for_and_by_now_something_else(carol):
    alone = ask(carol)
    assert told(alone) == by_now(carol, alone) == (0, "worker")
    beat()
    assert told(alone) == (0, "worker")
    assert by_now(carol, alone) == (0, "turn")

    second, third = ask(carol, "Second"), ask(carol, "Third")
    assert [told(run_id) for run_id in (second, third)] == [(1, "place"), (2, "place")]
    assert [by_now(carol, run_id) for run_id in (second, third)] == [(1, "place"), (2, "place")]
    cancel(carol, second)
    assert told(third) == (2, "place")
    assert by_now(carol, third) == (1, "place")
    cancel(carol, alone)
    assert by_now(carol, third) == (0, "turn")

    Run.objects.filter(id=third).update(status="running")
    assert by_now(carol, third) == (None, None)
    assert by_now(carol, second) == (None, None)


def test_a_dead_worker_is_told_also_to_those_in_line(carol):
    beat(ago=timedelta(hours=1))
    ask(carol)
    second = ask(carol, "Second")
    assert told(second) == by_now(carol, second) == (1, "worker")


def test_the_line_is_each_users_own():
    cast = make_cast()
    TierLimit.objects.filter(resource="concurrent_runs").update(limit=1)
    beat()
    ask(cast.alice)
    waiting = ask(cast.alice, "Second")
    bobs = ask(cast.bob)
    assert by_now(cast.bob, bobs) == (0, "turn")
    assert told(ask(cast.bob, "Second")) == (1, "place")
    assert by_now(cast.alice, waiting) == (1, "place")
