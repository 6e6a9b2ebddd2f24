"""Reads: where a user stands, and what the tier allows."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from contexts.exceptions import NotAuthenticatedError, PermissionDeniedError
from contexts.models import Membership, Resource, TierLimit, User, Window
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Limit:
    """A tier's limit on one resource, in the resource's unit, over its window."""

    resource: str
    window: str
    limit: Decimal
    soft_limit: Decimal


# A limit that is missing is never "unlimited": nothing is allowed until an operator adds it.
_WINDOWS = {
    Resource.AGENT_RUNS: Window.DAY,
    Resource.CONCURRENT_RUNS: Window.LEASE,
    Resource.WEBSOCKET_CONNECTIONS: Window.LEASE,
    Resource.TOKENS: Window.DAY,
    Resource.COST_USD: Window.MONTH,
    Resource.CPU_SECONDS: Window.DAY,
    Resource.MEMORY_BYTES: Window.CONTEXT,
    Resource.RUN_SECONDS: Window.RUN,
    Resource.STORAGE_BYTES: Window.TOTAL,
    Resource.MESSAGES: Window.MINUTE,
    Resource.RETENTION_DAYS: Window.TOTAL,
}


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
        preferences=resolve_preferences([tenant.tier, tenant, membership.user]),
    )


def limits_of(tier: str) -> Mapping[str, Limit]:
    """Return the limits of a tier by resource; a resource without a row is limited to nothing."""
    rows = {row.resource: row for row in TierLimit.objects.filter(tier__slug=tier)}
    limits = {}
    for resource, window in _WINDOWS.items():
        row = rows.get(resource)
        amount = row.limit if row else Decimal(0)
        soft = amount * (row.soft_percent if row else 100) / 100
        limits[str(resource)] = Limit(
            resource=str(resource), window=row.window if row else str(window), limit=amount, soft_limit=soft
        )
    return limits
