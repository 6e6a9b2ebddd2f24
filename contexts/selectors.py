"""Reads: where a user stands."""

from dataclasses import dataclass
from uuid import UUID

from contexts.exceptions import NotAuthenticatedError, PermissionDeniedError
from contexts.models import Membership, User
from contexts.preferences import Preferences, resolve_preferences
from contexts.scope import owner_scope


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """A user's place: the tenant they act for, their role in it, and its tier."""

    user_id: UUID
    tenant_id: UUID
    role: str
    tier: str
    preferences: Preferences


def standing_of(user_id: UUID, *, tenant_id: UUID | None = None) -> Standing:
    """Return where the user stands now: in `tenant_id`, or else in the tenant they joined first.

    Raises:
        NotAuthenticatedError: when the user is unknown or deactivated.
        PermissionDeniedError: when they belong to no active tenant.
        UnavailableError: when the database does not answer.
    """
    with owner_scope(user_id=user_id, tenant_id=tenant_id):
        memberships = Membership.objects.select_related("tenant__tier", "user").filter(
            user_id=user_id, user__is_active=True, tenant__is_active=True
        )
        if tenant_id is not None:
            memberships = memberships.filter(tenant_id=tenant_id)
        membership = memberships.order_by("created_at", "id").first()
    if membership is None:
        if not User.objects.filter(id=user_id, is_active=True).exists():
            raise NotAuthenticatedError("The account does not exist or is deactivated.")
        raise PermissionDeniedError("The account belongs to no active organisation.")
    tenant = membership.tenant
    return Standing(
        user_id=user_id,
        tenant_id=membership.tenant_id,
        role=membership.role,
        tier=tenant.tier.slug,
        preferences=resolve_preferences(
            [tenant.tier, tenant, membership.user], fallback_model=tenant.tier.fallback_model
        ),
    )
