"""The frames that tell a user where they stand with their quotas; synchronous."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from contexts.quota_statements import Owner
from contexts.quotas import quotas_of
from contexts.reports import QuotaResult
from contexts.resources import Resource
from contexts.scope import owner_scope
from realtime.protocol import AccountFrame, QuotaUpdated, QuotaWarning

WARNED_OF = frozenset(
    (
        Resource.AGENT_RUNS,
        Resource.TOKENS,
        Resource.COST_USD,
        Resource.CPU_SECONDS,
        Resource.STORAGE_BYTES,
    )
)
"""What is used up little by little. Leases come and go, and what counts by the minute is over soon."""
MAX_REMEMBERED = 10_000


class SoftLimitMemory:
    """Remembers which warnings were given, so that each crossing of a soft limit is told once."""

    def __init__(self, *, capacity: int = MAX_REMEMBERED) -> None:
        """Remember `capacity` warnings; the oldest are forgotten first."""
        self._capacity = capacity
        self._lock = threading.Lock()
        self._warned: OrderedDict[tuple[UUID, UUID, str], datetime | None] = OrderedDict()

    def is_new(self, owner: Owner, quota: QuotaResult) -> bool:
        """Tell whether `owner` has passed the soft limit since this was last asked, or in a new window."""
        key = (owner.tenant_id, owner.user_id, quota.resource)
        with self._lock:
            if not quota.is_past_soft_limit:
                self._warned.pop(key, None)
                return False
            if key in self._warned and self._warned[key] == quota.resets_at:
                return False
            self._warned[key] = quota.resets_at
            self._warned.move_to_end(key)
            if len(self._warned) > self._capacity:
                self._warned.popitem(last=False)
            return True


_memory = SoftLimitMemory()


def quota_frames(owner: Owner, resources: Sequence[str]) -> list[AccountFrame]:
    """Return an update for each of the resources, and a warning for each soft limit just passed."""
    with owner_scope(user_id=owner.user_id, tenant_id=owner.tenant_id):
        quotas = quotas_of(owner, resources=resources).values()
    updates: list[AccountFrame] = [QuotaUpdated.of(quota, user_id=owner.user_id) for quota in quotas]
    return updates + [
        QuotaWarning.of(quota, user_id=owner.user_id)
        for quota in quotas
        if quota.resource in WARNED_OF and _memory.is_new(owner, quota)
    ]
