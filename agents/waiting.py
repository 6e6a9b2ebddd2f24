"""What a queued run waits for, told to its user as of now."""

from dataclasses import dataclass
from typing import Final, Literal, get_args

from django.db.models import Q

from agents.models import Run
from agents.models.runs import RunStatus
from agents.workers import live_workers

Cause = Literal["place", "turn", "worker"]
CAUSES: tuple[Cause, ...] = get_args(Cause)

PLACE: Final = "place"
"""The user's places are taken; where a tenant's members share them, perhaps by another member."""
TURN: Final = "turn"
"""It has a place, and begins as soon as a worker is free for it."""
WORKER: Final = "worker"
"""No worker lives; the run is kept, and begun as soon as one does."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wait:
    """How a run waits; both are none when it does not."""

    position: int | None
    """Its place in its user's line: 0 when it has a place, 1 for the next."""
    cause: Cause | None
    """What it waits for."""


def position_of(run: Run) -> int | None:
    """Return a queued run's place in its user's line by now; none when it is not queued.

    0: it has a place; 1: it is the next. In the scope of its user.
    """
    if run.status != RunStatus.QUEUED:
        return None
    if run.job_id is not None:
        return 0
    waiting = Run.objects.filter(
        tenant_id=run.tenant_id, user_id=run.user_id, status=RunStatus.QUEUED, job_id=None
    )
    earlier = Q(created_at__lt=run.created_at) | Q(created_at=run.created_at, id__lt=run.id)
    return waiting.filter(earlier).count() + 1


def waiting_for(run: Run, position: int | None) -> Cause | None:
    """Return what a queued run at this place in line waits for; none when it is not queued."""
    if run.status != RunStatus.QUEUED or position is None:
        return None
    if not live_workers():
        return WORKER
    return PLACE if position > 0 else TURN


def wait_of(run: Run) -> Wait:
    """Return how a run waits by now; in the scope of its user."""
    position = position_of(run)
    return Wait(position=position, cause=waiting_for(run, position))
