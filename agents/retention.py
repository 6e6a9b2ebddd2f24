"""Deleting runs that ended longer ago than their user's tier keeps them."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db.models import QuerySet

from agents.models import Chart, Message, Run, RunEvent
from contexts.audit import record_system_audit
from contexts.quotas import limit_of
from contexts.resources import Resource
from contexts.scope import system_scope

BATCH = 500
"""How many runs are deleted in one transaction."""
# What lies further back may be no date any more.
_LONGEST_DAYS = 36_500


@dataclass(frozen=True, kw_only=True, slots=True)
class _Member:
    """Whose runs they are."""

    tenant_id: UUID
    user_id: UUID


def prune_runs(*, now: datetime | None = None) -> int:
    """Delete the runs past their `retention_days`, with events and charts; return how many.

    The conversation stays: its messages lose no more than the way to the run. Opens system scopes
    itself, one for each batch; what each deleted is audited.
    """
    return sum(_prune(member, before) for member, before in _retentions(now or datetime.now(UTC)))


def count_prunable_runs(*, now: datetime | None = None) -> int:
    """Return how many runs `prune_runs` would delete."""
    count = 0
    for member, before in _retentions(now or datetime.now(UTC)):
        with system_scope("count runs to prune", always_audited=False):
            count += _past(member, before).count()
    return count


def _retentions(now: datetime) -> list[tuple[_Member, datetime]]:
    """Return everyone who has runs that ended, and since when those that ended are kept."""
    with system_scope("prune runs: choose members", always_audited=False):
        ended = Run.objects.filter(finished_at__isnull=False).order_by()
        owners = list(ended.values_list("tenant_id", "user_id").distinct())
        members = [_Member(tenant_id=tenant_id, user_id=user_id) for tenant_id, user_id in owners]
        days = [int(limit_of(member, Resource.RETENTION_DAYS)) for member in members]
    return [
        (member, now - timedelta(days=min(kept, _LONGEST_DAYS)))
        for member, kept in zip(members, days, strict=True)
    ]


def _past(member: _Member, before: datetime) -> QuerySet[Run]:
    # A run ends after it was made, and there is an index of that.
    return Run.objects.filter(
        tenant_id=member.tenant_id,
        user_id=member.user_id,
        created_at__lt=before,
        finished_at__lt=before,
    )


def _prune(member: _Member, before: datetime) -> int:
    pruned = 0
    while batch := _prune_batch(member, before):
        pruned += batch
    return pruned


def _prune_batch(member: _Member, before: datetime) -> int:
    with system_scope("prune runs", always_audited=False):
        # Whoever deletes a conversation locks it first; it is left to them.
        runs = _past(member, before).select_related("thread").order_by("created_at", "id")
        locked = runs.select_for_update(of=("self", "thread"), skip_locked=True, no_key=True)[:BATCH]
        ids = [run.id for run in locked]
        if not ids:
            return 0
        Message.objects.filter(run_id__in=ids).update(run=None)
        events, _ = RunEvent.objects.filter(run_id__in=ids).delete()
        charts, _ = Chart.objects.filter(run_id__in=ids).delete()
        Run.objects.filter(id__in=ids).delete()
        record_system_audit(
            "runs_pruned",
            tenant_id=member.tenant_id,
            user_id=member.user_id,
            runs=len(ids),
            events=events,
            charts=charts,
            before=before,
        )
        return len(ids)
