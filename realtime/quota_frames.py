"""What a user is told of their quotas when a run has ended; synchronous."""

from datetime import UTC, datetime
from uuid import UUID

from contexts.context import UserExecutionContext
from contexts.factory import UserContextFactory
from contexts.quotas import quotas_of
from contexts.reports import QuotaResult
from contexts.scope import scope
from realtime.protocol import AccountFrame, QuotaUpdated, QuotaWarning

SETTLED_BY_RUNS = frozenset(("agent_runs", "tokens", "cost_usd", "cpu_seconds"))


def open_report_context(user_id: UUID) -> UserExecutionContext:
    """Make the context in which a user's quotas are reported; raises what `for_request` raises."""
    return UserContextFactory().for_request(user_id, operation="report.quotas")


def quota_frames(context: UserExecutionContext) -> list[AccountFrame]:
    """Return an update for each quota that runs use, and a warning for each past its soft limit."""
    with scope(context):
        quotas = [
            quota for quota in quotas_of(context, now=datetime.now(UTC)) if quota.resource in SETTLED_BY_RUNS
        ]
    updates: list[AccountFrame] = [QuotaUpdated.of(quota, user_id=context.user_id) for quota in quotas]
    return updates + [
        QuotaWarning.of(quota, user_id=context.user_id) for quota in quotas if _is_past_soft_limit(quota)
    ]


def _is_past_soft_limit(quota: QuotaResult) -> bool:
    return quota.used > 0 and quota.used + quota.reserved >= quota.soft_limit
