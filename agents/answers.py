"""Reads: what the runs behind messages ended with."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from agents.models import RunEvent
from contexts.context import UserExecutionContext


def answers_of(context: UserExecutionContext, run_ids: Collection[UUID]) -> dict[UUID, dict[str, Any]]:
    """Return the data of `agent_completed` for those of the user's runs that were completed."""
    events = RunEvent.objects.filter(
        tenant_id=context.tenant_id,
        user_id=context.user_id,
        run_id__in=run_ids,
        type="agent_completed",
    )
    return dict(events.values_list("run_id", "data"))
