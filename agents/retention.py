"""Deleting history that is older than its user's tier keeps it: runs, and conversations left alone since."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Exists, OuterRef, QuerySet

from agents.models import Chart, Message, Run, RunEvent, Thread
from contexts.audit import record_system_audit
from contexts.resources import Resource
from contexts.scope import system_scope

BATCH = 500
"""How many runs are deleted in one transaction."""
THREADS = 100
"""How many conversations are; each with all its messages."""
# What lies further back may be no date any more.
_LONGEST_DAYS = 36_500

# Whoever has a run has a conversation. A run ends after it was made, and there is an index of that; there
# is one of when a conversation was last used, too. One statement, however many members there are.
_RETENTIONS = """
SELECT tenant_id, user_id, before FROM (
    SELECT owner.tenant_id, owner.user_id,
        %(now)s - least(floor(kept.member_limit), %(longest)s)::int * interval '1 day' AS before
    FROM (SELECT DISTINCT tenant_id, user_id FROM agents_thread) AS owner
    CROSS JOIN LATERAL netra_quota_limit(owner.tenant_id, owner.user_id, %(resource)s, %(now)s) AS kept
    OFFSET 0) AS member
WHERE EXISTS (SELECT FROM agents_run r WHERE r.user_id = member.user_id
        AND r.tenant_id = member.tenant_id AND r.created_at < before AND r.finished_at < before)
    OR EXISTS (SELECT FROM agents_thread t WHERE t.user_id = member.user_id
        AND t.tenant_id = member.tenant_id AND t.updated_at < before)
ORDER BY tenant_id, user_id
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """How much of the history was, or would be, deleted."""

    runs: int = 0
    """Each with its events, steps, tool calls and charts."""
    conversations: int = 0
    """Each with its messages."""

    def __add__(self, other: "History") -> "History":
        return History(runs=self.runs + other.runs, conversations=self.conversations + other.conversations)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Member:
    """Whose history it is, and since when it is kept."""

    tenant_id: UUID
    user_id: UUID
    before: datetime


def prune_history(*, now: datetime | None = None) -> History:
    """Delete what is past its member's `retention_days`; return how much.

    Runs that ended before that go, and then conversations that are left without a run and were not used
    since. A conversation that is still used keeps all its messages. Opens system scopes itself, one for each
    batch; what each deleted is audited. Stopped in between, the next call goes on.
    """
    pruned = History()
    for member in _members(now or datetime.now(UTC)):
        pruned += History(
            runs=_in_batches(_prune_runs, member), conversations=_in_batches(_prune_threads, member)
        )
    return pruned


def count_prunable_history(*, now: datetime | None = None) -> History:
    """Return how much `prune_history` would delete."""
    count = History()
    for member in _members(now or datetime.now(UTC)):
        with system_scope("count history to prune", always_audited=False):
            count += History(
                runs=_past_runs(member).count(),
                conversations=_past_threads(member, without=_other_runs(member)).count(),
            )
    return count


def _members(now: datetime) -> list[_Member]:
    """Return those of whom something may be past its retention."""
    arguments: dict[str, Any] = {
        "now": now,
        "longest": _LONGEST_DAYS,
        "resource": str(Resource.RETENTION_DAYS),
    }
    with system_scope("prune history: choose members", always_audited=False), connection.cursor() as cursor:
        cursor.execute(_RETENTIONS, arguments)
        return [
            _Member(tenant_id=tenant_id, user_id=user_id, before=before)
            for tenant_id, user_id, before in cursor.fetchall()
        ]


def _past_runs(member: _Member) -> QuerySet[Run]:
    return Run.objects.filter(
        tenant_id=member.tenant_id,
        user_id=member.user_id,
        created_at__lt=member.before,
        finished_at__lt=member.before,
    )


def _other_runs(member: _Member) -> QuerySet[Run]:
    """Return the runs of a conversation that are not past the retention."""
    runs = Run.objects.filter(thread_id=OuterRef("id"))
    return runs.exclude(
        created_at__lt=member.before, finished_at__isnull=False, finished_at__lt=member.before
    )


def _past_threads(member: _Member, *, without: QuerySet[Run]) -> QuerySet[Thread]:
    younger = Message.objects.filter(thread_id=OuterRef("id"), created_at__gte=member.before)
    return Thread.objects.filter(
        ~Exists(younger),
        ~Exists(without),
        tenant_id=member.tenant_id,
        user_id=member.user_id,
        updated_at__lt=member.before,
    )


def _in_batches(prune: Callable[[_Member], int], member: _Member) -> int:
    pruned = 0
    while batch := prune(member):
        pruned += batch
    return pruned


def _prune_runs(member: _Member) -> int:
    with system_scope("prune runs", always_audited=False):
        # Whoever deletes a conversation locks it first; it is left to them.
        runs = _past_runs(member).select_related("thread").order_by("created_at", "id")
        locked = runs.select_for_update(of=("self", "thread"), skip_locked=True, no_key=True)[:BATCH]
        ids = [run.id for run in locked]
        if not ids:
            return 0
        Message.objects.filter(run_id__in=ids).update(run=None)
        events, _ = RunEvent.objects.filter(run_id__in=ids).delete()
        charts, _ = Chart.objects.filter(run_id__in=ids).delete()
        Run.objects.filter(id__in=ids).delete()
        _record("runs_pruned", member, runs=len(ids), events=events, charts=charts)
        return len(ids)


def _prune_threads(member: _Member) -> int:
    with system_scope("prune conversations", always_audited=False):
        # Whoever asks in a conversation locks it first, and uses it: then it is not old any more.
        threads = _past_threads(member, without=Run.objects.filter(thread_id=OuterRef("id")))
        oldest = threads.order_by("updated_at", "id")
        ids = [
            row.id for row in oldest.select_for_update(of=("self",), skip_locked=True, no_key=True)[:THREADS]
        ]
        if not ids:
            return 0
        messages, _ = Message.objects.filter(thread_id__in=ids).delete()
        Thread.objects.filter(id__in=ids).delete()
        _record("conversations_pruned", member, conversations=len(ids), messages=messages)
        return len(ids)


def _record(action: str, member: _Member, **figures: Any) -> None:
    record_system_audit(
        action, tenant_id=member.tenant_id, user_id=member.user_id, before=member.before, **figures
    )
