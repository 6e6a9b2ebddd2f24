"""The waiting line of runs: who has a place at once, who waits, and whose turn it is.

A run is given a job once its user holds one more `concurrent_runs` lease; until then it waits, and the end
of another run lets it in. Jobs are taken in turns of their tenants by start-time fair queuing (Goyal, Vin
and Cheng, 1996): a tenant's runs are spaced by the inverse of its tier's weight, so that nobody's backlog
delays another's first run by more than one.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from uuid import UUID

from django.db import connection, transaction
from django.db.models import QuerySet

from agents.models import Run
from agents.models.runs import RunStatus
from agents.queueing import enqueue_run
from contexts.context import UserExecutionContext
from contexts.exceptions import LimitError, QuotaExceededError
from contexts.quota_statements import Amount, Reservation
from contexts.quotas import (
    extend_quota,
    fence_quota,
    limit_of,
    quotas_of,
    release_quota,
    renew_quotas,
    reserve_quota,
)
from contexts.resources import Resource
from contexts.scope import owner_scope, system_scope

MAX_WAITING_RUNS = 10
RUN_TTL = timedelta(hours=1)
"""How long an open run's reservation lasts when no worker renews it."""

PLACE: Mapping[str, Amount] = {"concurrent_runs": 1}
# What must be left of these for a run to be admitted; what it really takes of the last two is drawn later.
ADMISSION: Mapping[str, Amount] = {"agent_runs": 1, "tokens": 1, "cost_usd": Decimal("0.000001")}


DRAWN = (Resource.TOKENS, Resource.COST_USD, Resource.CPU_SECONDS)
"""What a run sets aside as it needs it, and a lost attempt has set aside in vain."""


def run_reservation(run: Run) -> Reservation:
    """Return the one reservation that a run, its agents and their tools draw on."""
    return Reservation(id=run.id, tenant_id=run.tenant_id, user_id=run.user_id)


def join_line(context: UserExecutionContext, run: Run, *, now: datetime | None = None) -> int:
    """Reserve what a new run needs and queue its job, or let it wait; return its place in line.

    0: it has a place; 1: it is the next of its user. In the scope of `context`.

    Raises:
        QuotaExceededError: when a limit is used up, or the line is full.
    """
    lock_line(tenant_id=run.tenant_id, user_id=run.user_id)
    ahead = _waiting(run.tenant_id, run.user_id).exclude(id=run.id).count()
    if ahead >= MAX_WAITING_RUNS:
        raise QuotaExceededError(
            f"{ahead} of your questions are already waiting; try again when one has been answered.",
            resource=Resource.CONCURRENT_RUNS,
            limit=limit_of(context, Resource.CONCURRENT_RUNS),
            resets_at=None,
        )
    if ahead == 0 and _reserve(run, {**ADMISSION, **PLACE}, now=now):
        _queue(run)
        return 0
    _reserve(run, ADMISSION, now=now)
    return ahead + 1


def admit_after_end(*, tenant_id: UUID, user_id: UUID) -> None:
    """Let the next run in when one of a user's has ended; in their scope and line.

    Where all members share a limit, the next is whoever has waited longest in the tenant, once the
    transaction is committed.
    """
    member = Reservation(id=user_id, tenant_id=tenant_id, user_id=user_id)
    resource = Resource.CONCURRENT_RUNS
    if quotas_of(member, resources=[resource])[resource].left_for_all is None:
        admit_next(tenant_id=tenant_id, user_id=user_id)
    else:
        transaction.on_commit(partial(admit_all, tenant_id=tenant_id))


def admit_next(*, tenant_id: UUID, user_id: UUID, at_most: int = MAX_WAITING_RUNS) -> int:
    """Give free places to a user's waiting runs, oldest first; return how many. In their scope and line."""
    admitted = 0
    waiting = _waiting(tenant_id, user_id).order_by("created_at", "id")
    for run in waiting.select_for_update(skip_locked=True)[:at_most]:
        try:
            if not extend_quota(run_reservation(run), PLACE) and not _reserve(run, {**ADMISSION, **PLACE}):
                break
        except LimitError:
            break
        _queue(run)
        admitted += 1
    return admitted


def admit_all(*, tenant_id: UUID | None = None) -> int:
    """Give free places to whoever waits, in one tenant or in all, as after a limit was raised.

    One for each in turn, beginning with who has waited longest. Opens scopes itself.
    """
    with system_scope("admit waiting runs", always_audited=False):
        waiting = Run.objects.filter(status=RunStatus.QUEUED, job_id=None)
        if tenant_id is not None:
            waiting = waiting.filter(tenant_id=tenant_id)
        runs = waiting.order_by("created_at", "id").values_list("tenant_id", "user_id")
        owners = list(dict.fromkeys(runs))
    admitted = 0
    while owners:
        owners = [owner for owner in owners if _admit_one(*owner)]
        admitted += len(owners)
    return admitted


def _admit_one(tenant_id: UUID, user_id: UUID) -> bool:
    with owner_scope(tenant_id=tenant_id, user_id=user_id):
        lock_line(tenant_id=tenant_id, user_id=user_id)
        return bool(admit_next(tenant_id=tenant_id, user_id=user_id, at_most=1))


def keep_place(run: Run, *, attempt: int) -> bool:
    """Have a run's reservation last while `attempt` carries it out; return false when its place is gone.

    No earlier attempt can draw on it any more. Gone it is only after hours without any worker: what had been
    refunded meanwhile is reserved again if it can be.

    Raises:
        QuotaExceededError: when the limits of its admission are used up by now.
    """
    reservation = run_reservation(run)
    fence = partial(fence_quota, reservation, attempt, frees=DRAWN if attempt > 1 else ())
    is_fresh = attempt == 1 and datetime.now(UTC) - run.created_at < RUN_TTL / 2
    if (is_fresh or renew_quotas([run.id], ttl=RUN_TTL)) and fence():
        return True
    release_quota(reservation)  # expired, but perhaps not refunded yet
    if _reserve(run, {**ADMISSION, **PLACE}):
        fence()
        return True
    _reserve(run, ADMISSION)
    return False


def lock_line(*, tenant_id: UUID, user_id: UUID) -> None:
    """Have a user's line to oneself until the transaction ends; taken before the counters are.

    Otherwise a run could begin to wait just after the last other one has ended.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 1))", [f"{tenant_id}:{user_id}"])


def _waiting(tenant_id: UUID, user_id: UUID) -> QuerySet[Run]:
    return Run.objects.filter(
        tenant_id=tenant_id, user_id=user_id, status=RunStatus.QUEUED, job_id__isnull=True
    )


def _reserve(run: Run, amounts: Mapping[str, Amount], *, now: datetime | None = None) -> bool:
    """Reserve for a run; return false when all it lacks is a place."""
    try:
        reserve_quota(run, amounts, RUN_TTL, purpose="run", reservation_id=run.id, now=now)
    except QuotaExceededError as refusal:
        if refusal.resource == Resource.CONCURRENT_RUNS:
            return False
        raise
    return True


def _queue(run: Run) -> None:
    run.job_id = enqueue_run(run)
    run.save(update_fields=["job_id"])
