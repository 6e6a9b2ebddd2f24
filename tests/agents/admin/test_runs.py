"""Operators' pages of runs: found, looked at, cancelled and asked again; never edited, without content."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from procrastinate.contrib.django.models import ProcrastinateJob

from agents.admin import estimated_pages
from agents.models import Run, RunStep
from contexts.models import AuditEntry, Role, TierLimit
from tests.agents.running import ask, begin, cancel, stored_events, stored_types
from tests.contexts.admin.pages import address, make_staff, signed_in
from tests.factories import make_event, make_run, make_thread, make_user

LIST = "/admin/agents/run/"
SECRET = "canary-of-carol"


def _ids(client, **query):
    page = client.get(LIST, query)
    assert page.status_code == 200
    return {run.pk for run in page.context["cl"].result_list}


def _ended(user, **fields):
    now = timezone.now()
    fields = {"status": "failed", "started_at": now, "finished_at": now, "attempt": 1, **fields}
    return make_run(make_thread(user), **fields)


def _texts(page):
    return [str(message) for message in page.context["messages"]]


def test_runs_are_found_by_their_state_and_by_every_name(support, cast):
    open_run = make_run(make_thread(cast.alice), job_id=4711)
    failed = _ended(cast.bob, error_code="timeout", model="offline")
    slow = _ended(
        cast.carol,
        status="completed",
        finished_at=timezone.now() + timedelta(minutes=5),
        model="openai:gpt-4o",
    )
    Run.objects.filter(pk=slow.pk).update(created_at=timezone.now() - timedelta(days=3), attempt=2)
    every = {open_run.pk, failed.pk, slow.pk}
    for query, expected in (
        ({}, every),
        ({"state": "open"}, {open_run.pk}),
        ({"state": "stuck"}, {open_run.pk}),
        ({"state": "slow"}, {slow.pk}),
        ({"state": "lost"}, {slow.pk}),
        ({"status__exact": "failed"}, {failed.pk}),
        ({"error_code": "timeout"}, {failed.pk}),
        ({"model": "offline"}, {failed.pk}),
        ({"tenant__id__exact": str(cast.acme.pk)}, {open_run.pk, failed.pk}),
        ({"asked": "hour"}, {open_run.pk, failed.pk}),
        ({"asked": "week"}, every),
        ({"q": str(failed.pk)}, {failed.pk}),
        ({"q": str(slow.thread_id)}, {slow.pk}),
        ({"q": str(cast.alice.pk)}, {open_run.pk}),
        ({"q": "caro"}, {slow.pk}),
        ({"q": "4711"}, {open_run.pk}),
        ({"q": "nobody"}, set()),
    ):
        assert _ids(support, **query) == expected, query
    page = support.get(LIST, {"model": "offline"}).content.decode()
    assert "offline" in page
    assert "openai:gpt-4o" in page


def test_a_list_asks_as_often_for_many_runs_as_for_few(support, cast):
    def queries():
        with CaptureQueriesContext(
            connection,
        ) as captured:
            support.get(LIST)
        return len(captured)

    make_run(make_thread(cast.alice))
    queries()
    few = queries()
    for user in (cast.alice, cast.bob, cast.carol) * 5:
        make_run(make_thread(user))
    assert queries() == few


def test_a_list_counts_no_further_than_people_page(support, cast, monkeypatch):
    for user in (cast.alice, cast.bob, cast.carol, cast.carol):
        make_run(make_thread(user))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE agents_run")
    for run in Run.objects.filter(user=cast.carol):
        run.delete()
    monkeypatch.setattr(estimated_pages, "COUNTED", 1)
    # What PostgreSQL estimates, what is counted at most, and what is there.
    for query, expected in (({}, 4), ({"state": "open"}, 1), ({"q": "bob"}, 1), ({"q": "nobody"}, 0)):
        assert support.get(LIST, query).context["cl"].result_count == expected


def test_an_operator_cancels_runs_of_any_tenant_after_being_asked(support, sam, cast):
    waiting, begun, ended = ask(cast.alice), ask(cast.carol), _ended(cast.bob)
    begin(begun)
    chosen = {"action": "cancel_selected", "_selected_action": [waiting, begun, ended.pk]}
    page = support.post(LIST, chosen)
    text = page.content.decode()
    assert "Yes, cancel 2 runs" in text
    assert str(ended.pk)[-8:] not in text
    assert stored_types(waiting) == ["run_queued"]
    answer = support.post(LIST, {**chosen, "confirmed": "yes", "reason": "Maintenance."}, follow=True)
    assert _texts(answer) == ["2 runs cancelled."]
    assert stored_events(waiting)[-1].data == {"by": "operator"}
    assert Run.objects.get(pk=begun).cancel_requested_by == "operator"
    audit = AuditEntry.objects.filter(action="run_cancel_requested")
    assert {(entry.user, entry.details["reason"]) for entry in audit} == {(sam, "Maintenance.")}
    again = support.post(LIST, {"action": "cancel_selected", "_selected_action": [waiting]}, follow=True)
    assert "Nothing to do" in _texts(again)[0]


def test_a_runs_page_has_the_buttons_that_do_something(support, sam, cast):
    run_id = ask(cast.carol, SECRET)
    change, stop, again = (f"{LIST}{run_id}/{page}/" for page in ("change", "cancel", "retry"))
    page = support.get(change).content.decode()
    assert stop in page
    assert again not in page
    assert support.get(again).status_code == 403
    assert "Yes, cancel it" in support.get(stop).content.decode()
    assert _texts(support.post(stop, {"confirmed": "yes"}, follow=True)) == ["1 run cancelled."]
    found = support.get(change)
    page = found.content.decode()
    assert again in page
    assert stop not in page
    # It never began: it has waited, and that is over.
    (bar,) = found.context["run_panel"]["bars"]
    assert (bar["name"], bar["is_open"]) == ("in line", False)
    assert "not ended" not in bar["took"]
    job_id = Run.objects.get(pk=run_id).job_id
    job = support.get(address(ProcrastinateJob, "change", job_id)).content.decode()
    assert "cancelled" in job
    assert "to be aborted" not in job
    (text,) = _texts(support.post(again, {"confirmed": "yes"}, follow=True))
    assert "Asked again as run" in text
    new = Run.objects.exclude(pk=run_id).get()
    assert (new.user, new.text, new.thread_id) == (cast.carol, SECRET, Run.objects.get(pk=run_id).thread_id)
    assert AuditEntry.objects.get(action="run_retried").user == sam
    # A refusal is told in words, and leaves nothing behind.
    cancel(cast.carol, new.pk)
    TierLimit.objects.filter(tier=cast.globex.tier, resource="agent_runs").update(limit=0)
    (text,) = _texts(support.post(f"{LIST}{new.pk}/retry/", {"confirmed": "yes"}, follow=True))
    assert "limit" in text
    assert Run.objects.count() == 2


@pytest.mark.mission_critical("P8")
def test_operators_see_how_a_run_went_and_staff_of_the_tenant_what_it_was_about(support, operator, cast):
    run_id = ask(cast.carol, SECRET)
    begin(run_id)
    run = Run.objects.get(pk=run_id)
    at = run.created_at
    call = {"call_id": "c1", "tool_name": "query_dataset"}
    made_up = {"call_id": "c2", "tool_name": SECRET}
    error = {"code": "tool_failed", "message": SECRET}
    hand_off = {"from_agent": "triage", "to_agent": "data", "reason": SECRET, "operation": SECRET}
    told = [
        (2, "agent_started", 1, {"agents": ["triage", "data"]}),
        (3, "agent_thinking", 2, {"step": 1, "text": SECRET}),
        (4, "agent_handoff", 3, hand_off),
        (5, "tool_executing", 4, {**call, "params": {"sql": SECRET}}),
        (6, "run_resumed", 14, {"attempt": 2}),
        (7, "tool_completed", 17, {**call, "ok": True, "result": SECRET}),
        (8, "tool_executing", 18, {**made_up, "params": {}}),
        (9, "tool_completed", 19, {**made_up, "ok": False, "error": error}),
        (10, "run_failed", 20, {"code": "timeout", "message": SECRET, "retryable": True}),
    ]
    for seq, type_, after, data in told:
        make_event(run, seq, type_, data=data, created_at=at + timedelta(seconds=after))
    for name in ("data.model.0", f"call.{SECRET}"):
        RunStep.objects.create(
            run=run,
            name=name,
            tenant_id=run.tenant_id,
            user_id=run.user_id,
            attempt=1,
            content=SECRET,
        )
    page = support.get(address(Run, "change", run_id))
    text = page.content.decode()
    assert SECRET not in text
    panel = page.context["run_panel"]
    bars = {(bar["kind"], bar["name"]): bar for bar in panel["bars"]}
    assert bars["waiting", "in line"]["took"] == "1.0 s"
    assert bars["agent", "triage"]["took"] == "2.0 s"
    assert bars["tool", "query_dataset"]["took"] == "13.0 s"
    assert bars["lost", "attempt 2"]["took"] == "10.0 s"
    assert "red" in bars["tool", "unknown tool"]["color"]
    assert bars["agent", "data"]["is_open"]
    assert [moment["seq"] for moment in panel["moments"]] == list(range(1, 11))
    assert panel["moments"][5]["until_next"] == "3.0 s"
    assert panel["moments"][9]["subject"] == "timeout"
    for shown in ("data.model.0", "Its job and saved steps", "Job ", "doing", "run_resumed"):
        assert shown in text
    own = signed_in(make_staff("sue", "Support", tenant=cast.globex))
    for client in (own, operator):
        assert SECRET in client.get(address(Run, "change", run_id)).content.decode()


def test_a_page_of_a_run_that_does_not_get_on_says_why(support, cast):
    run_id = ask(cast.alice)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM procrastinate_jobs WHERE id = %s", [Run.objects.get(pk=run_id).job_id])
    text = support.get(address(Run, "change", run_id)).content.decode()
    assert "Its job is not in the queue any more." in text
    page = support.get(LIST, {"state": "stuck"})
    assert [run.pk for run in page.context["cl"].result_list] == [run_id]
    assert "Its job is not in the queue any more." in page.content.decode()


def test_staff_without_the_permission_act_on_nothing(cast, olga):
    run_id, ended = ask(cast.carol), _ended(cast.carol)
    looker = make_user("greta", cast.globex, Role.OWNER, is_staff=True)
    looker.user_permissions.set(
        Permission.objects.filter(codename__in=("view_run", "cancel_run", "retry_run"))
    )
    client = signed_in(looker)
    assert _ids(client) == {run_id, ended.pk}
    for name, target in (("cancel", run_id), ("retry", ended.pk)):
        confirmed = {"confirmed": "yes"}
        assert client.post(f"{LIST}{target}/{name}/", confirmed).status_code == 403
        client.post(LIST, {"action": f"{name}_selected", "_selected_action": [target], **confirmed})
        assert f"/{name}" not in client.get(address(Run, "change", target)).content.decode()
    stranger = signed_in(make_user("gus", cast.acme, Role.OWNER, is_staff=True))
    assert stranger.get(LIST).status_code == 403
    assert Run.objects.count() == 2
    assert Run.objects.get(pk=run_id).cancel_requested_at is None
