"""Runs are deleted when their tier keeps them no longer, and conversations that were left alone since."""

import threading
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection, transaction

from agents import retention
from agents.models import Author, Chart, Message, Run, RunEvent, RunStatus, RunStep, Thread, ToolCall
from agents.retention import History, count_prunable_history, prune_history
from contexts.models import AuditEntry, QuotaOverride, TierLimit, User
from tests.clients import client_of
from tests.factories import Cast, make_cast, make_event, make_message, make_run, make_thread, make_user

pytestmark = pytest.mark.django_db(transaction=True)
NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def cast(transactional_db: None) -> Cast:
    return make_cast()


def prune_runs() -> int:
    """Prune, and return how many runs went."""
    return prune_history(now=NOW).runs


def ended(user: User, *, days_ago: float, thread: Thread | None = None) -> Run:
    """Make a run that ended so long ago, with two messages, two events and a chart."""
    thread = thread or make_thread(user)
    run = make_run(thread, status=RunStatus.COMPLETED, finished_at=NOW - days_ago * DAY)
    Run.objects.filter(id=run.id).update(created_at=run.finished_at - timedelta(minutes=1))
    make_message(thread, "Why?", run=run)
    make_message(thread, "**Because.**", Author.ASSISTANT, run=run)
    make_event(run, 1, "run_queued")
    make_event(run, 2, "agent_completed", data={"final_response_html": "<p>As it was shown.</p>"})
    owner = {"run": run, "tenant_id": run.tenant_id, "user_id": run.user_id}
    Chart.objects.create(**owner, title="Spend", alt_text="Spend", svg="<svg/>")
    return run


def test_runs_past_their_tiers_days_go_with_events_and_charts(cast: Cast):
    old, young = ended(cast.carol, days_ago=7.1), ended(cast.carol, days_ago=6.9)
    kept = [ended(cast.alice, days_ago=364), ended(cast.bob, days_ago=8)]
    assert prune_runs() == 1
    assert not Run.objects.filter(id=old.id).exists()
    assert set(Run.objects.values_list("id", flat=True)) == {run.id for run in (young, *kept)}
    assert RunEvent.objects.count() == 6
    assert Chart.objects.count() == 3
    assert prune_runs() == 0


def test_the_conversation_stays_readable(cast: Cast):
    thread = make_thread(cast.carol)
    ended(cast.carol, days_ago=8, thread=thread)
    prune_runs()
    assert list(Message.objects.values_list("run", flat=True)) == [None, None]
    question, answer = client_of(cast.carol).get(f"/api/v1/threads/{thread.id}/messages").json()["results"]
    assert (question["text"], question["html"], question["run_id"]) == ("Why?", None, None)
    assert (answer["text"], answer["html"].strip()) == (
        "**Because.**",
        "<p><strong>Because.</strong></p>",
    )


def test_what_has_not_ended_is_never_deleted(cast: Cast):
    run = make_run(make_thread(cast.carol), status=RunStatus.RUNNING)
    Run.objects.filter(id=run.id).update(created_at=NOW - 900 * DAY)
    late = ended(cast.carol, days_ago=1)
    Run.objects.filter(id=late.id).update(created_at=NOW - 900 * DAY)
    assert prune_runs() == 0
    assert Run.objects.count() == 2


def test_a_members_own_limit_holds_for_them(cast: Cast):
    for user in (cast.alice, cast.bob):
        ended(user, days_ago=40)
    QuotaOverride.objects.create(
        tenant=cast.acme, user=cast.bob, resource="retention_days", limit=30, reason="asked for it"
    )
    assert count_prunable_history(now=NOW).runs == prune_runs() == 1
    assert Run.objects.get().user_id == cast.alice.id


def test_a_limit_of_ages_keeps_everything(cast: Cast):
    ended(cast.carol, days_ago=3_000)
    TierLimit.objects.filter(resource="retention_days").update(limit=10**14)
    assert prune_runs() == 0


def test_without_a_limit_the_lowest_tiers_holds(cast: Cast):
    ended(cast.alice, days_ago=8)
    TierLimit.objects.filter(resource="retention_days").delete()
    assert prune_runs() == 1


def test_it_goes_in_batches_each_audited_by_count(cast: Cast, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(retention, "BATCH", 2)
    for _ in range(3):
        ended(cast.carol, days_ago=9)
    assert prune_runs() == 3
    entries = AuditEntry.objects.filter(action="runs_pruned").order_by("id")
    assert {(entry.tenant_id, entry.user_id) for entry in entries} == {(cast.globex.id, cast.carol.id)}
    figures = [(entry.details["runs"], entry.details["events"], entry.details["charts"]) for entry in entries]
    assert figures == [(2, 4, 2), (1, 2, 1)]


def test_a_conversation_that_is_being_deleted_is_left_to_that(cast: Cast):
    run = ended(cast.carol, days_ago=9)
    found: list[int] = []

    def prune() -> None:
        found.append(prune_runs())
        connection.close()

    with transaction.atomic():
        Thread.objects.select_for_update(no_key=True).get(id=run.thread_id)
        worker = threading.Thread(target=prune)
        worker.start()
        worker.join()
    assert found == [0]
    assert prune_runs() == 1


def old_thread(user: User, *, days_ago: float, messages: int = 1) -> Thread:
    """Make a conversation without runs whose last use was so long ago."""
    thread = make_thread(user, updated_at=NOW - days_ago * DAY)
    for _ in range(messages):
        message = make_message(thread)
        Message.objects.filter(id=message.id).update(created_at=NOW - days_ago * DAY)
    return thread


def test_a_conversation_left_alone_goes_and_one_that_is_used_keeps_its_messages(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(retention, "THREADS", 2)
    for _ in range(3):
        old_thread(cast.carol, days_ago=8, messages=2)
    with_old_run = old_thread(cast.carol, days_ago=9)
    ended(cast.carol, days_ago=9, thread=with_old_run)
    Message.objects.filter(thread=with_old_run).update(created_at=NOW - 9 * DAY)
    answered_late, with_young_run = (old_thread(cast.carol, days_ago=8) for _ in range(2))
    make_message(answered_late, author=Author.ASSISTANT)
    ended(cast.carol, days_ago=6, thread=with_young_run)
    Message.objects.filter(thread=with_young_run).update(created_at=NOW - 8 * DAY)
    with_open_run = old_thread(cast.carol, days_ago=8)
    make_run(with_open_run)
    kept = {answered_late.id, with_young_run.id, with_open_run.id}
    kept |= {old_thread(cast.carol, days_ago=6.9).id, old_thread(cast.alice, days_ago=8).id}
    expected = History(runs=1, conversations=4)
    assert count_prunable_history(now=NOW) == expected == prune_history(now=NOW)
    assert set(Thread.objects.values_list("id", flat=True)) == kept
    entries = AuditEntry.objects.filter(action="conversations_pruned").order_by("id")
    assert [(entry.details["conversations"], entry.details["messages"]) for entry in entries] == [
        (2, 5),
        (2, 4),
    ]


def test_killed_in_the_middle_nothing_is_half_deleted_and_the_next_call_goes_on(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(retention, "BATCH", 1)
    for number in range(3):
        run = ended(cast.carol, days_ago=9)
        owner = {"run": run, "tenant_id": run.tenant_id, "user_id": run.user_id}
        RunStep.objects.create(**owner, name=f"{number}.model.0", attempt=1, content="{}")
        ToolCall.objects.create(**owner, call_id="c", tool_name="t", params={})
    seen = []

    def die_late(*_: object, **__: object) -> None:
        seen.append(Run.objects.count())
        if len(seen) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(retention, "_record", die_late)
    with pytest.raises(KeyboardInterrupt):
        prune_history(now=NOW)
    # The batch under way is whole again, the one before is gone for good.
    assert seen == [2, 1]
    counts = [model.objects.count() for model in (Run, RunEvent, Chart, RunStep, ToolCall)]
    assert counts == [2, 4, 2, 2, 2]
    monkeypatch.undo()
    assert prune_runs() == 2
    assert not any(model.objects.exists() for model in (RunEvent, Chart, RunStep, ToolCall))


def test_who_has_nothing_to_prune_costs_nothing(
    cast: Cast, django_assert_max_num_queries: pytest.FixtureRequest
):
    for number in range(30):
        ended(make_user(f"member-{number}", cast.globex), days_ago=2)
    ended(cast.carol, days_ago=9)
    with django_assert_max_num_queries(80):
        assert prune_runs() == 1


def test_the_command_rehearses_and_prunes(cast: Cast):
    run = ended(cast.carol, days_ago=9)
    Run.objects.filter(id=run.id).update(
        created_at=datetime.now(UTC) - 9 * DAY, finished_at=datetime.now(UTC) - 8 * DAY
    )
    Thread.objects.update(updated_at=datetime.now(UTC) - 8 * DAY)
    output = StringIO()
    call_command("prune_history", "--dry-run", stdout=output)
    assert Run.objects.exists()
    call_command("prune_history", stdout=output)
    assert output.getvalue().splitlines() == [
        "Runs that would be deleted: 1",
        "Conversations that would be deleted: 0",
        "Runs deleted: 1",
        "Conversations deleted: 0",
    ]
    assert not Run.objects.exists()
