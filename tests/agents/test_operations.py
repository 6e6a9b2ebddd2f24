"""What operators do with runs, and what they find stuck; and that it is put right without them."""

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone
from procrastinate.contrib.django.models import ProcrastinateJob

from agents import housekeeping
from agents.models import Message, Run
from agents.operations import cancel_run_as_operator, retry_run_as_operator
from agents.stuck_runs import Cause, heal_runs, stuck_runs
from contexts.database import call_in_thread
from contexts.exceptions import ConflictError, NotFoundError, PermissionDeniedError, QuotaExceededError
from contexts.identifiers import new_id
from contexts.manager import get_context_manager
from contexts.models import AuditEntry, Membership, TierLimit
from contexts.scope import system_scope
from tests.agents.running import (
    ask,
    begin,
    cancel,
    execute,
    leave_nothing,
    scripted,
    stored_events,
    stored_types,
    take_job,
)
from tests.factories import make_cast, make_user

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.mission_critical("P3")]


@pytest.fixture
def cast():
    yield make_cast()
    leave_nothing()


@pytest.fixture
def operator(cast):
    return make_user("olga", is_staff=True, is_superuser=True)


def _sql(statement, *values):
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def _found():
    with system_scope("test"):
        return {stuck.run_id: stuck.cause for stuck in stuck_runs()}


def _in_the_past(run_id, **columns):
    now = timezone.now()
    Run.objects.filter(id=run_id).update(
        **{name: now - timedelta(seconds=seconds) for name, seconds in columns.items()}
    )
    _sql(
        "UPDATE procrastinate_events SET at = now() - interval '1 hour' WHERE job_id = %s",
        Run.objects.get(id=run_id).job_id,
    )


def test_an_operator_cancels_a_waiting_run_and_its_user_is_told_who_did(cast, operator):
    run_id = ask(cast.carol)
    cancel_run_as_operator(run_id, operator=operator, reason=" It runs in circles. ")
    assert stored_types(run_id) == ["run_queued", "run_cancelled"]
    assert stored_events(run_id)[-1].data == {"by": "operator"}
    entry = AuditEntry.objects.get(action="run_cancel_requested")
    assert (entry.tenant, entry.user, entry.run_id) == (cast.globex, operator, run_id)
    assert entry.details == {
        "by": "operator",
        "member": str(cast.carol.id),
        "reason": "It runs in circles.",
    }
    with pytest.raises(ConflictError):
        cancel_run_as_operator(run_id, operator=operator)
    with pytest.raises(NotFoundError):
        cancel_run_as_operator(new_id(), operator=None)
    assert stored_types(run_id).count("run_cancelled") == 1


def test_an_operator_asks_again_for_the_user_once_and_on_their_quota(cast, operator):
    run_id = ask(cast.carol, "Where does it go?")
    with pytest.raises(ConflictError):
        retry_run_as_operator(run_id, operator=operator)
    cancel(cast.carol, run_id)
    started = retry_run_as_operator(run_id, operator=operator, reason="A bug of ours.")
    assert started.is_new
    run, again = Run.objects.get(id=run_id), Run.objects.get(id=started.run_id)
    for name in ("thread", "user", "tenant", "text"):
        assert getattr(again, name) == getattr(run, name)
    assert again.status == "queued"
    assert Message.objects.filter(thread=run.thread, author="user").count() == 2
    assert not retry_run_as_operator(run_id, operator=operator).is_new
    entry = AuditEntry.objects.get(action="run_retried")
    assert (entry.tenant, entry.user, entry.run_id) == (cast.globex, operator, run_id)
    assert entry.details["new_run"] == str(again.id)
    cancel(cast.carol, again.id)
    TierLimit.objects.filter(tier=cast.globex.tier, resource="agent_runs").update(limit=0)
    with pytest.raises(QuotaExceededError):
        retry_run_as_operator(again.id, operator=operator)
    Membership.objects.filter(user=cast.carol).delete()
    with pytest.raises(PermissionDeniedError):
        retry_run_as_operator(again.id, operator=operator)
    assert Run.objects.count() == 2


def _lose_job(run_id):
    _sql("DELETE FROM procrastinate_jobs WHERE id = %s", Run.objects.get(id=run_id).job_id)


def _fail_job(run_id):
    _sql("UPDATE procrastinate_jobs SET status = 'failed' WHERE id = %s", Run.objects.get(id=run_id).job_id)


def _lose_worker(run_id):
    take_job(Run.objects.get(id=run_id))
    _sql("UPDATE procrastinate_workers SET last_heartbeat = now() - interval '1 hour'")


@pytest.mark.parametrize(
    ("damage", "cause", "is_begun"),
    [
        (_lose_job, Cause.JOB_GONE, False),
        (_lose_job, Cause.JOB_GONE, True),
        (_fail_job, Cause.JOB_ENDED, True),
        (_lose_worker, Cause.WORKER_LOST, True),
    ],
)
async def test_what_was_lost_is_found_and_healed(cast, recorder, damage, cause, is_begun):
    def prepare():
        run_id = ask(cast.alice)
        if is_begun:
            begin(run_id)
        damage(run_id)
        return run_id

    run_id = await call_in_thread(prepare)
    await get_context_manager().cleanup_all()
    assert await call_in_thread(_found) == {run_id: cause}
    before = (await call_in_thread(Run.objects.get, id=run_id)).job_id
    if cause is Cause.WORKER_LOST:
        assert await call_in_thread(heal_runs) == 1
    else:
        await call_in_thread(housekeeping.release_expired_leases)
    run = await call_in_thread(Run.objects.get, id=run_id)
    assert (await call_in_thread(ProcrastinateJob.objects.get, id=run.job_id)).status == "todo"
    assert (run.job_id == before) is (cause is Cause.WORKER_LOST)
    assert await call_in_thread(heal_runs) == 0
    await execute(run_id, scripted())
    assert recorder.types[-1] == "agent_completed"


def test_a_run_that_a_process_still_holds_is_left_to_it_although_its_job_is_gone(cast):
    run_id = ask(cast.alice)
    begin(run_id)
    _lose_job(run_id)
    assert _found() == {}
    assert heal_runs() == 0
    _sql("UPDATE contexts_contextrecord SET opened_at = now() - interval '50 minutes'")
    assert _found() == {run_id: Cause.JOB_GONE}


def test_what_only_people_can_put_right_is_reported_and_left_alone(cast):
    unbegun, overdue, uncancelled, healthy = (
        ask(user) for user in (cast.alice, cast.bob, cast.carol, cast.alice)
    )
    for run_id in (overdue, uncancelled):
        begin(run_id)
    take_job(Run.objects.get(id=unbegun))
    _in_the_past(unbegun, created_at=3_600)
    _in_the_past(overdue, started_at=3_600)
    _sql(
        "UPDATE contexts_contextrecord SET opened_at = now() - interval '50 minutes' WHERE run_id = %s",
        overdue,
    )
    cancel(cast.carol, uncancelled)
    _in_the_past(uncancelled, cancel_requested_at=60)
    expected = {
        unbegun: Cause.NOT_BEGUN,
        overdue: Cause.OVERDUE,
        uncancelled: Cause.NOT_CANCELLED,
    }
    assert _found() == expected
    assert heal_runs() == 0
    # Without any worker, what waits for one is stuck too.
    _in_the_past(healthy, created_at=3_600)
    _sql("UPDATE procrastinate_workers SET last_heartbeat = now() - interval '1 hour'")
    assert _found()[healthy] == Cause.NO_WORKER


def test_a_run_that_no_worker_can_begin_is_reported_and_one_that_was_handed_back_as_often_is_not(cast):
    failing, handed_back = ask(cast.alice), ask(cast.bob)
    begin(handed_back)
    Run.objects.filter(id=handed_back).update(attempt=5, hand_backs=5)
    jobs = [Run.objects.get(id=run_id).job_id for run_id in (failing, handed_back)]
    _sql(
        "UPDATE procrastinate_jobs SET status = 'todo', worker_id = NULL, attempts = 4 WHERE id = ANY(%s)",
        jobs,
    )
    assert _found() == {}
    _sql("UPDATE procrastinate_jobs SET attempts = 5 WHERE id = ANY(%s)", jobs)
    assert _found() == {failing: Cause.CANNOT_BE_BEGUN}
    assert "cannot be begun" in _runs("--stuck")
    assert heal_runs() == 0


def test_a_run_that_waits_although_a_place_is_free_is_found_and_let_in(cast):
    first, second = ask(cast.carol), ask(cast.carol)
    _in_the_past(second, created_at=3_600)
    assert _found() == {}
    TierLimit.objects.filter(tier=cast.globex.tier, resource="concurrent_runs").update(limit=5)
    assert _found() == {second: Cause.NOT_ADMITTED}
    assert heal_runs() == 1
    assert _found() == {}
    jobs = ProcrastinateJob.objects.filter(id__in=Run.objects.values("job_id"))
    assert {job.args["run_id"]: job.status for job in jobs} == {str(first): "todo", str(second): "todo"}


def test_the_command_lists_cancels_asks_again_and_heals(cast):
    mine, hers = ask(cast.alice), ask(cast.carol)
    _lose_job(mine)
    rows = json.loads(_runs("--json"))["runs"]
    assert {row["run_id"] for row in rows} == {str(mine), str(hers)}
    assert {row["user"] for row in json.loads(_runs("--tenant", "globex", "--json"))["runs"]} == {"carol"}
    (stuck,) = json.loads(_runs("--stuck", "--json"))["runs"]
    assert (stuck["run_id"], stuck["cause"]) == (str(mine), "job_gone")
    table = _runs("--stuck")
    assert str(mine) in table
    assert "not in the queue any more" in table
    assert "1 run queued again" in _runs("--heal")
    assert "None." in _runs("--stuck")
    assert "cancelled" in _runs("--cancel", str(hers))
    assert _runs("--failed", "--user", "carol").count("cancelled") == 1
    assert "None." in _runs("--failed", "--user", "alice", "--since", "1h")
    assert "asked again" in _runs("--retry", str(hers))
    assert Run.objects.filter(user=cast.carol).count() == 2
    for arguments in (
        ("--cancel", str(hers)),
        ("--cancel", str(new_id())),
        ("--cancel", "x"),
        ("--retry", str(mine)),
        ("--tenant", "nobody"),
        ("--user", "nobody"),
        ("--failed", "--since", "yesterday"),
        ("--since", "1h"),
    ):
        with pytest.raises(CommandError):
            _runs(*arguments)


def _runs(*arguments):
    output = StringIO()
    call_command("runs", *arguments, stdout=output)
    return output.getvalue()
