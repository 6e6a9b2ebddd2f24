"""The waiting line: places are leases, the next one begins when one ends, and tenants take turns."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from procrastinate.contrib.django.models import ProcrastinateJob

from agents.housekeeping import release_expired_leases
from agents.line import admit_all
from agents.models import Run, RunEvent
from agents.worker import run_worker
from contexts.database import call_in_thread
from contexts.exceptions import QuotaExceededError
from contexts.models import (
    QuotaReservation,
    QuotaUsage,
    TenantQuotaUsage,
    Tier,
    TierLimit,
)
from contexts.quotas import expire_quotas, release_quota, reserve_quota
from tests.agents.running import ask, begin, cancel, execute, scripted
from tests.factories import make_cast, make_tenant, make_user

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _empty_queue():
    # Not a table of the project's own, so nobody empties it between tests.
    ProcrastinateJob.objects.all().delete()


@pytest.fixture
def carol():
    """A member of a tenant on the free tier: one run at once."""
    return make_cast().carol


def waits(run_id):
    return Run.objects.get(id=run_id).job_id is None


def position(run_id):
    return RunEvent.objects.get(run_id=run_id, seq=1).data["position"]


def places(user):
    return QuotaUsage.objects.get(user=user, resource="concurrent_runs").reserved


def let_in(count, **limits):
    TierLimit.objects.filter(tier__slug="free", resource="concurrent_runs").update(limit=count, **limits)


def jobs_in_turn():
    """The runs' jobs in the order in which workers take them."""
    return list(ProcrastinateJob.objects.filter(queue_name="runs", status="todo").order_by("-priority", "id"))


def test_one_has_a_place_and_the_others_know_theirs_in_the_line(carol):
    runs = [ask(carol, f"Question {number}") for number in range(3)]
    assert [position(run_id) for run_id in runs] == [0, 1, 2]
    assert [waits(run_id) for run_id in runs] == [False, True, True]
    assert places(carol) == 1
    assert len(jobs_in_turn()) == 1


async def test_the_end_of_a_run_lets_the_oldest_in_and_all_are_answered(carol, recorder):
    runs = [await call_in_thread(ask, carol, f"Question {number}") for number in range(3)]
    for number, run_id in enumerate(runs):
        assert [await call_in_thread(waits, other) for other in runs[number:]] == [
            False,
            *(True for _ in runs[number + 1 :]),
        ]
        await execute(run_id, scripted())
    assert recorder.types.count("agent_completed") == 3
    assert await call_in_thread(places, carol) == 0
    assert not await call_in_thread(QuotaReservation.objects.exists)


async def test_a_worker_answers_all_who_wait(carol, recorder):
    runs = [await call_in_thread(ask, carol, f"hello {number}") for number in range(4)]
    worker = asyncio.create_task(run_worker(concurrency=4))
    try:
        async with asyncio.timeout(60):
            await recorder.wait_for("agent_completed", times=4)
    finally:
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)
    started = [event.run_id for event in recorder.events if event.type == "agent_started"]
    assert started == runs
    # One at a time: each began after the one before had ended.
    moments = [
        (event.type, event.run_id)
        for event in recorder.events
        if event.type in {"agent_started", "agent_completed"}
    ]
    assert [run_id for _, run_id in moments] == [run_id for run_id in runs for _ in range(2)]


def test_a_full_line_refuses_and_leaves_nothing(carol):
    for number in range(11):
        ask(carol, f"Question {number}")
        QuotaUsage.objects.filter(resource="agent_runs").update(reserved=0)
        TenantQuotaUsage.objects.filter(resource="agent_runs").update(reserved=0)
    with pytest.raises(QuotaExceededError) as refusal:
        ask(carol, "One more")
    assert refusal.value.resource == "concurrent_runs"
    assert Run.objects.count() == 11
    assert QuotaReservation.objects.count() == 11


def test_a_run_cancelled_in_the_line_used_nothing_and_the_next_one_moves_up(carol):
    _, second, third = (ask(carol, f"Question {number}") for number in range(3))
    cancel(carol, second)
    assert QuotaUsage.objects.get(user=carol, resource="agent_runs").reserved == 2
    assert QuotaUsage.objects.get(user=carol, resource="agent_runs").used == 0
    assert waits(third)
    let_in(2)
    assert admit_all() == 1
    assert not waits(third)


@pytest.mark.mission_critical("P7")
def test_a_raised_limit_lets_waiting_runs_begin(carol):
    runs = [ask(carol, f"Question {number}") for number in range(4)]
    let_in(3)
    assert admit_all(tenant_id=carol.memberships.get().tenant_id) == 2
    assert [waits(run_id) for run_id in runs] == [False, False, False, True]
    assert admit_all() == 0


def test_a_ceiling_of_the_tenant_holds_for_all_its_members(carol):
    dave = make_user("dave", carol.memberships.get().tenant)
    let_in(1, tenant_limit=1)
    mine, daves = ask(carol), ask(dave)
    assert not waits(mine)
    assert waits(daves)
    again = ask(carol, "One more")
    cancel(carol, mine)
    # The place goes to whoever has waited longest, not to the same user again.
    assert not waits(daves)
    assert waits(again)


@pytest.mark.mission_critical("P4")
def test_many_at_once_never_have_more_places_than_the_limit_and_nobody_is_stranded(carol):
    let_in(2)

    def come_and_go(number):
        try:
            run_id = ask(carol, f"Question {number}")
            if number % 2:
                cancel(carol, run_id)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(come_and_go, range(10)))
    open_runs = Run.objects.filter(status="queued")
    assert open_runs.count() == 5
    assert places(carol) == 2
    assert open_runs.filter(job_id=None).count() == 3


def test_a_run_that_was_left_for_hours_reserves_again_when_it_is_taken_on(carol):
    run_id = ask(carol)
    assert expire_quotas(now=datetime.now(UTC) + timedelta(hours=2)) == 1
    assert places(carol) == 0
    begin(run_id)
    assert places(carol) == 1
    assert QuotaReservation.objects.get().id == run_id


def test_a_run_whose_place_another_took_meanwhile_waits_again(carol):
    run_id = ask(carol)
    expire_quotas(now=datetime.now(UTC) + timedelta(hours=2))
    owner = Run.objects.get(id=run_id)
    other = reserve_quota(owner, {"concurrent_runs": 1})
    assert begin(run_id).event is None
    assert waits(run_id)
    assert Run.objects.get(id=run_id).status == "queued"
    release_quota(other)
    assert admit_all() == 1
    assert begin(run_id).attempt == 1


def test_housekeeping_keeps_what_open_runs_have_and_refunds_the_rest(carol):
    run_id = ask(carol)
    owner = Run.objects.get(id=run_id)
    reserve_quota(owner, {"tokens": 5}, timedelta(seconds=-1))
    QuotaReservation.objects.filter(id=run_id).update(expires_at=datetime.now(UTC) + timedelta(seconds=5))
    assert release_expired_leases() == 1
    kept = QuotaReservation.objects.get()
    assert kept.id == run_id
    assert kept.expires_at > datetime.now(UTC) + timedelta(minutes=30)


def test_a_backlog_of_one_tenant_delays_anothers_first_run_by_one():
    let_in(1_000)
    TierLimit.objects.update(limit=1_000_000)
    big, small = (make_user(name, make_tenant(name, "mid")) for name in ("big", "small"))
    TierLimit.objects.update(limit=1_000_000)
    for number in range(8):
        ask(big, f"Question {number}")
    first = ask(small)
    assert [job.args["run_id"] for job in jobs_in_turn()].index(str(first)) <= 1


def test_turns_are_weighted_by_tier():
    light, heavy = (
        make_user(name, make_tenant(name, tier)) for name, tier in (("light", "free"), ("heavy", "mid"))
    )
    TierLimit.objects.update(limit=1_000_000)
    assert Tier.objects.get(slug="mid").weight == 4
    for number in range(12):
        ask(light, f"Question {number}")
        ask(heavy, f"Question {number}")
    first_ten = [job.args["user_id"] for job in jobs_in_turn()][:10]
    assert first_ten.count(str(heavy.id)) == 8


def test_a_tenant_that_comes_late_neither_waits_for_the_backlog_nor_starves_it():
    early, late = (make_user(name, make_tenant(name, "free")) for name in ("early", "late"))
    TierLimit.objects.update(limit=1_000_000)
    for number in range(6):
        ask(early, f"Question {number}")
    # The first three are done.
    ProcrastinateJob.objects.filter(id__in=[job.id for job in jobs_in_turn()[:3]]).delete()
    for number in range(3):
        ask(late, f"Question {number}")
    whose = ["late" if job.args["user_id"] == str(late.id) else "early" for job in jobs_in_turn()]
    assert whose == ["early", "late"] * 3
