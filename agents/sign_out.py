"""What becomes of the runs of someone who signs out: cancelled, if they asked for that."""

from typing import Any
from uuid import UUID

from agents.cancelling import cancel_run
from agents.models.runs import OPEN_STATUSES, CancelledBy
from agents.selectors import runs_of
from contexts.context import UserExecutionContext
from contexts.exceptions import ConflictError, NotAuthenticatedError, NotFoundError, PermissionDeniedError
from contexts.factory import UserContextFactory, managed_user_context
from contexts.scope import scope


def cancel_runs_of(user_id: UUID, *, cancel_runs: bool, **_: Any) -> None:
    """Cancel all open runs of a user, if `cancel_runs` asks for it; a receiver of `signed_out`.

    Raises:
        QuotaExceededError: when the user has too many contexts open.
        UnavailableError: when the database does not answer.
    """
    if not cancel_runs:
        return
    try:
        context = UserContextFactory().for_request(user_id, operation="sign_out")
    except (NotAuthenticatedError, PermissionDeniedError):
        return  # they may ask nobody any more, and the workers end what they asked
    with managed_user_context(context):
        for run_id in _open_run_ids(context):
            try:
                cancel_run(context, run_id, by=CancelledBy.SIGN_OUT)
            except (ConflictError, NotFoundError):
                continue  # it has ended, or was deleted, meanwhile


def _open_run_ids(context: UserExecutionContext) -> list[UUID]:
    with scope(context):
        runs = runs_of(context).filter(status__in=OPEN_STATUSES)
        return list(runs.order_by("created_at", "id").values_list("id", flat=True))
