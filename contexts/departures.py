"""What a deleted user leaves in the quotas of their tenant: what was used stays used, the rest is free."""

from typing import Any

from contexts.models import QuotaReservation, QuotaUsage, User
from contexts.quota_statements import Reservation
from contexts.quotas import give_back_quota, release_quotas
from contexts.scope import system_scope
from contexts.windows import EPOCH


def free_quotas(instance: User, **_: Any) -> None:
    """Refund what the user has reserved, and give back what is gone with them, such as stored bytes.

    A receiver of `pre_delete`, in the transaction that deletes them.
    """
    with system_scope("free the quotas of a deleted user", always_audited=False):
        held = QuotaReservation.objects.filter(user=instance).values_list("id", "tenant_id")
        release_quotas(Reservation(id=id, tenant_id=tenant_id, user_id=instance.id) for id, tenant_id in held)
        for usage in QuotaUsage.objects.filter(user=instance, window_start=EPOCH, used__gt=0):
            give_back_quota(
                user_id=usage.user_id,
                tenant_id=usage.tenant_id,
                resource=usage.resource,
                amount=usage.used,
                window_start=EPOCH,
            )
