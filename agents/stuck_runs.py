"""Runs that do not get on: which, why, and what to do; and putting right what can be put right."""

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from typing import NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import connection
from procrastinate.contrib.django import app
from procrastinate.contrib.django.models import ProcrastinateJob
from procrastinate.exceptions import ConnectorException

from agents.line import admit_all
from agents.models import Run
from agents.models.runs import OPEN_STATUSES, RunStatus
from agents.queueing import enqueue_run, is_under_way
from agents.workers import live_workers
from contexts.quota_statements import Reservation
from contexts.quotas import quotas_of
from contexts.reports import QuotaResult
from contexts.resources import Resource
from contexts.scope import owner_scope, system_scope

logger = logging.getLogger(__name__)

GRACE_SECONDS = 90
"""How long a state may last that the housekeeping of each minute ends by itself."""

TRIES = 5
"""How often a run is not begun by a worker that has its job, until it counts as stuck."""


class Cause(StrEnum):
    """Why a run does not get on."""

    NOT_ADMITTED = "not_admitted"
    JOB_GONE = "job_gone"
    JOB_ENDED = "job_ended"
    WORKER_LOST = "worker_lost"
    NO_WORKER = "no_worker"
    NOT_BEGUN = "not_begun"
    CANNOT_BE_BEGUN = "cannot_be_begun"
    OVERDUE = "overdue"
    NOT_CANCELLED = "not_cancelled"


EXPLANATIONS: dict[Cause, tuple[str, str]] = {
    Cause.NOT_ADMITTED: (
        "It waits for a place though one is free.",
        "A worker admits it within a minute; --heal does it now.",
    ),
    Cause.JOB_GONE: (
        "Its job is not in the queue any more.",
        "A worker queues it again within a minute; --heal does it now.",
    ),
    Cause.JOB_ENDED: (
        "Its job has ended, and the run has not.",
        "A worker queues it again within a minute; --heal does it now.",
    ),
    Cause.WORKER_LOST: (
        "The worker that has it gives no sign of life.",
        "Any live worker takes it over; start one, or --heal to have it queued now.",
    ),
    Cause.NO_WORKER: ("No live worker could take it.", "Start a worker: it is begun by itself."),
    Cause.NOT_BEGUN: ("A worker has its job and has not begun it.", "Look into that worker's log."),
    Cause.CANNOT_BE_BEGUN: (
        "It cannot be begun: workers have tried again and again, and do each minute.",
        "Look into the workers' logs; once the reason is gone, it is begun by itself.",
    ),
    Cause.OVERDUE: (
        "It runs longer than its tier allows; its deadline had no effect.",
        "Cancel it, and look into its worker's log.",
    ),
    Cause.NOT_CANCELLED: (
        "Its cancellation was asked for and has had no effect.",
        "Look into its worker's log; restart that worker, and the run ends as cancelled.",
    ),
}
"""What each cause means, and what an operator does."""

WITHOUT_JOB = frozenset((Cause.JOB_GONE, Cause.JOB_ENDED))
"""What nobody but `heal_runs` puts right."""
HEALED = WITHOUT_JOB | {Cause.NOT_ADMITTED, Cause.WORKER_LOST}
"""All that `heal_runs` can put right; workers do the rest too, and know better what they have."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StuckRun:
    """A run that does not get on."""

    run_id: UUID
    tenant_id: UUID
    user_id: UUID
    tenant: str
    """The tenant's slug."""
    username: str
    status: str
    attempt: int
    since: datetime
    """From when on it should have got on, as far as that is known (UTC)."""
    cause: Cause

    @property
    def why(self) -> str:
        """Return the cause in a sentence."""
        return EXPLANATIONS[self.cause][0]

    @property
    def remedy(self) -> str:
        """Return what to do in a sentence."""
        return EXPLANATIONS[self.cause][1]


# Of each open run: its job and that job's worker; since when a process has said that it holds it, and since
# when its job is as it is. All times are the database's.
_OPEN_RUNS = """
WITH held AS MATERIALIZED (
    SELECT run_id, max(opened_at) AS since FROM contexts_contextrecord
    WHERE closed_at IS NULL AND expires_at > now() AND run_id IS NOT NULL
    GROUP BY run_id
)
SELECT run.id, run.tenant_id, run.user_id, tenant.slug, account.username, run.status, run.attempt,
    run.job_id, job.status::text, coalesce(job.attempts, 0),
    coalesce(worker.last_heartbeat > now() - make_interval(secs => %s), false),
    held.since IS NOT NULL,
    run.cancel_requested_at,
    coalesce(held.since, run.started_at),
    coalesce(changed.at, run.created_at),
    now()
FROM agents_run AS run
JOIN contexts_tenant AS tenant ON tenant.id = run.tenant_id
JOIN contexts_user AS account ON account.id = run.user_id
LEFT JOIN procrastinate_jobs AS job ON job.id = run.job_id
LEFT JOIN procrastinate_workers AS worker ON worker.id = job.worker_id
LEFT JOIN held ON held.run_id = run.id
LEFT JOIN LATERAL (
    SELECT max(at) AS at FROM procrastinate_events WHERE job_id = run.job_id
) AS changed ON true
WHERE run.status IN ('queued', 'running')
ORDER BY run.created_at, run.id
"""


class _OpenRun(NamedTuple):
    id: UUID
    tenant_id: UUID
    user_id: UUID
    tenant: str
    username: str
    status: str
    attempt: int
    job_id: int | None
    job_status: str | None
    job_attempts: int
    """How often its job was given back to the queue, whether the run had been begun or not."""
    has_live_worker: bool
    is_held: bool
    """Whether the process that took it on has not let go of it; one that died does so after a while."""
    cancel_requested_at: datetime | None
    begun_at: datetime | None
    """When its attempt began, or at least its first."""
    job_changed_at: datetime
    now: datetime

    def seconds_since(self, moment: datetime | None) -> float:
        return 0.0 if moment is None else (self.now - moment).total_seconds()


def stuck_runs() -> list[StuckRun]:
    """Return the open runs of all tenants that do not get on, oldest first. Needs a system scope."""
    with connection.cursor() as cursor:
        cursor.execute(_OPEN_RUNS, [settings.STALLED_AFTER_SECONDS])
        rows = [_OpenRun(*row) for row in cursor.fetchall()]
    inspect = _Inspection()
    return [
        StuckRun(
            run_id=row.id,
            tenant_id=row.tenant_id,
            user_id=row.user_id,
            tenant=row.tenant,
            username=row.username,
            status=row.status,
            attempt=row.attempt,
            since=(row.begun_at if row.status == RunStatus.RUNNING else None) or row.job_changed_at,
            cause=cause,
        )
        for row in rows
        if (cause := inspect.cause_of(row)) is not None
    ]


def heal_runs(causes: Collection[Cause] = HEALED) -> int:
    """Have the runs carried out that are stuck for one of `causes`; return how many.

    Safe at any time: whoever might still work on one of them is fenced. Opens scopes itself, after one
    another; not within one.

    Raises:
        UnavailableError: when the database does not answer.
    """
    with system_scope("find stuck runs", always_audited=False):
        found = [stuck for stuck in stuck_runs() if stuck.cause in HEALED.intersection(causes)]
    healed = sum(_heal(stuck) for stuck in found if stuck.cause is not Cause.NOT_ADMITTED)
    if any(stuck.cause is Cause.NOT_ADMITTED for stuck in found):
        healed += admit_all()
    return healed


class _Inspection:
    """One look at all open runs; what it has found out about their owners holds for that long."""

    def __init__(self) -> None:
        self._has_live_worker = bool(live_workers())
        self._standing: Callable[[UUID, UUID, Resource], QuotaResult] = cache(_standing)
        self._patience = settings.STALLED_AFTER_SECONDS

    def cause_of(self, run: _OpenRun) -> Cause | None:
        """Return why a run does not get on, none when it does or soon will by itself."""
        if run.job_id is None:
            is_late = run.seconds_since(run.job_changed_at) > GRACE_SECONDS
            return Cause.NOT_ADMITTED if is_late and self._has_place(run) else None
        match run.job_status:
            case "todo":
                return self._cause_in_queue(run)
            case "doing":
                return self._cause_under_way(run) if run.has_live_worker else Cause.WORKER_LOST
            case _ if self._may_go_on(run):
                return None
            case None:
                return Cause.JOB_GONE
            case _:
                return Cause.JOB_ENDED

    def _cause_in_queue(self, run: _OpenRun) -> Cause | None:
        if not self._has_live_worker:
            return Cause.NO_WORKER if run.seconds_since(run.job_changed_at) > self._patience else None
        # Those that were begun, and handed back or taken over, are no failures.
        return Cause.CANNOT_BE_BEGUN if run.job_attempts - run.attempt >= TRIES else None

    def _cause_under_way(self, run: _OpenRun) -> Cause | None:
        if run.seconds_since(run.cancel_requested_at) > self._patience:
            return Cause.NOT_CANCELLED
        if run.status == RunStatus.QUEUED:
            return Cause.NOT_BEGUN if run.seconds_since(run.job_changed_at) > GRACE_SECONDS else None
        return Cause.OVERDUE if self._is_overdue(run) else None

    def _may_go_on(self, run: _OpenRun) -> bool:
        """Tell whether a run without a job may be carried out all the same.

        So it is when a worker woke up, after its job had gone to another one, and ended it.
        """
        return run.is_held and run.cancel_requested_at is None and not self._is_overdue(run)

    def _is_overdue(self, run: _OpenRun) -> bool:
        worked = run.seconds_since(run.begun_at)
        if worked <= self._patience:
            return False
        limit = self._standing(run.tenant_id, run.user_id, Resource.RUN_SECONDS).limit
        return worked > float(limit) + self._patience

    def _has_place(self, run: _OpenRun) -> bool:
        return self._standing(run.tenant_id, run.user_id, Resource.CONCURRENT_RUNS).remaining >= 1


def _standing(tenant_id: UUID, user_id: UUID, resource: Resource) -> QuotaResult:
    owner = Reservation(id=user_id, tenant_id=tenant_id, user_id=user_id)
    return quotas_of(owner, resources=(resource,))[resource]


def _heal(stuck: StuckRun) -> bool:
    try:
        with owner_scope(tenant_id=stuck.tenant_id, user_id=stuck.user_id):
            run = Run.objects.select_for_update().filter(id=stuck.run_id, status__in=OPEN_STATUSES).first()
            if run is None or run.job_id is None or is_under_way(run):
                return False
            status = _job_status(run.job_id)
            if status == "doing":
                app.job_manager.retry_job_by_id(run.job_id, retry_at=datetime.now(UTC))
                # One whose abortion was asked for is not queued again, but fails.
                status = _job_status(run.job_id)
            elif status == "todo":
                return False
            if status != "todo":
                run.job_id = enqueue_run(run)
                run.save(update_fields=["job_id"])
    except ConnectorException:
        # Whoever else queues it again, or the next time.
        logger.exception("Run %s, which is stuck (%s), could not be queued again", stuck.run_id, stuck.cause)
        return False
    logger.warning("Run %s was stuck (%s) and is queued again", stuck.run_id, stuck.cause)
    return True


def _job_status(job_id: int) -> str | None:
    return ProcrastinateJob.objects.filter(id=job_id).values_list("status", flat=True).first()
