"""Reads: who the context's user is, for themselves."""

from dataclasses import dataclass
from uuid import UUID

from contexts.context import UserExecutionContext
from contexts.models import Tenant, User


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """A user as they may see themselves."""

    id: UUID
    username: str
    email: str
    name: str
    role: str
    tier: str
    tenant: Tenant


def profile_of(context: UserExecutionContext) -> Profile:
    """Return the profile of the context's user in the context's tenant."""
    user = User.objects.get(id=context.user_id)
    return Profile(
        id=user.id,
        username=user.username,
        email=user.email,
        name=user.get_full_name(),
        role=context.role,
        tier=context.tier,
        tenant=Tenant.objects.get(id=context.tenant_id),
    )
