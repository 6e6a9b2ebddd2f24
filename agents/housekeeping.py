"""What has to be looked after from time to time, whichever worker does it."""

from agents.line import RUN_TTL, admit_all
from agents.models import Run
from agents.models.runs import OPEN_STATUSES
from agents.retention import prune_history
from agents.stuck_runs import WITHOUT_JOB, heal_runs
from contexts.quota_retention import prune_quotas
from contexts.quotas import expire_quotas, renew_quotas
from contexts.scope import system_scope


def release_expired_leases() -> int:
    """Refund what dead processes had reserved, and let the next runs begin; return how many were refunded.

    Runs whose jobs were lost are queued again. The reservations of open runs are renewed first: a run that
    waits, or is taken over, keeps what is its.
    """
    with system_scope("find open runs", always_audited=False):
        open_runs = list(Run.objects.filter(status__in=OPEN_STATUSES).values_list("id", flat=True))
    renew_quotas(open_runs, ttl=RUN_TTL)
    with system_scope("release expired leases", always_audited=False):
        expired = expire_quotas()
    admit_all()
    heal_runs(WITHOUT_JOB)
    return expired


def prune() -> None:
    """Delete what is past its retention: history by tiers, counters and ledger by their windows."""
    prune_history()
    prune_quotas()
