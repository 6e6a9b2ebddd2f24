"""Operators' pages of the queue: jobs and workers, with the runs that they carry out."""

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from procrastinate.contrib.django.models import ProcrastinateJob, ProcrastinateWorker

from agents.models import Run
from agents.queueing import HOUSEKEEPING
from agents.tasks import prune
from contexts.models import Role
from tests.agents.running import ask, begin
from tests.contexts.admin.pages import address, signed_in
from tests.factories import make_user

pytestmark = pytest.mark.django_db(transaction=True)


def _jobs(client, **query):
    page = client.get(address(ProcrastinateJob, "changelist"), query)
    assert page.status_code == 200
    return [job.pk for job in page.context["cl"].result_list], page.content.decode()


def test_jobs_lead_to_their_runs_and_show_no_ids_of_people(support, cast):
    hers, his = (Run.objects.get(pk=ask(user, "secret")) for user in (cast.carol, cast.bob))
    prune.configure(queue=HOUSEKEEPING, queueing_lock=None).defer(timestamp=1)
    (housekeeping,) = ProcrastinateJob.objects.exclude(pk__in=(hers.job_id, his.job_id)).values_list(
        "pk", flat=True
    )
    found, text = _jobs(support)
    assert found == [housekeeping, his.job_id, hers.job_id]
    assert address(Run, "change", hers.pk) in text
    assert "Globex" in text
    assert str(cast.carol.pk) not in text
    assert "secret" not in text
    assert _jobs(support, q=str(hers.pk))[0] == [hers.job_id]
    assert _jobs(support, q=str(his.job_id))[0] == [his.job_id]
    assert _jobs(support, q="carol")[0] == []
    page = support.get(address(ProcrastinateJob, "change", hers.job_id)).content.decode()
    assert address(Run, "change", hers.pk) in page
    assert "deferred" in page
    chosen = {"action": "cancel", "_selected_action": [hers.job_id], "post": "yes"}
    for name in ("retry", "cancel", "abort", "delete_selected"):
        support.post(address(ProcrastinateJob, "changelist"), {**chosen, "action": name})
    assert support.post(address(ProcrastinateJob, "change", hers.job_id), {"priority": 9}).status_code == 403
    assert ProcrastinateJob.objects.get(pk=hers.job_id).status == "todo"


def test_malformed_jobs_are_shown_without_a_run(support, cast):
    malformed = ["[]", '{"run_id": "x"}', '{"run_id": 7}', '{"run_id": null}']
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH worker AS (INSERT INTO procrastinate_workers DEFAULT VALUES RETURNING id)"
            " INSERT INTO procrastinate_jobs (queue_name, task_name, args, status, worker_id)"
            " SELECT 'runs', 'execute_run', unnest(%s::jsonb[]), 'doing', id FROM worker RETURNING id",
            [malformed],
        )
        ids = [row[0] for row in cursor.fetchall()]
    assert _jobs(support)[0] == ids[::-1]
    assert support.get(address(ProcrastinateWorker, "changelist")).status_code == 200
    # What is no object has no page: the package itself could not say what it calls.
    for job_id in ids[1:]:
        assert support.get(address(ProcrastinateJob, "change", job_id)).status_code == 200


def test_workers_show_whether_they_live_and_what_they_do(support, cast):
    run_id = ask(cast.carol)
    begin(run_id)
    (live,) = ProcrastinateWorker.objects.values_list("pk", flat=True)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - interval '1h') RETURNING id"
        )
        (stalled,) = cursor.fetchone()
    page = support.get(address(ProcrastinateWorker, "changelist"))
    states = {worker.pk: worker.found for worker in page.context["cl"].result_list}
    assert {pk: found.is_live for pk, found in states.items()} == {live: True, stalled: False}
    text = page.content.decode()
    assert address(Run, "change", run_id) in text
    assert f"process {states[live].holder.process_id}" in text
    assert "not known" in text
    page = support.get(address(ProcrastinateWorker, "change", live)).content.decode()
    assert address(Run, "change", run_id) in page
    job = support.get(address(ProcrastinateJob, "change", Run.objects.get(pk=run_id).job_id)).content.decode()
    assert address(ProcrastinateWorker, "change", live) in job
    for text, state in ((page, "live"), (job, "doing")):
        assert f"(&#x27;{state}" not in text
        assert state in text


def test_whoever_sees_only_their_own_tenants_sees_nothing_of_the_queue(cast):
    greta = make_user("greta", cast.acme, Role.OWNER, is_staff=True)
    greta.user_permissions.set(Permission.objects.exclude(codename="see_every_tenant"))
    client = signed_in(greta)
    for model in (ProcrastinateJob, ProcrastinateWorker):
        assert client.get(address(model, "changelist")).status_code == 403
