"""Reads for many members at once: who still belongs where, and what is held beyond the limits of now."""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from django.db import connection

from contexts.models import Membership, Tenant
from contexts.scope import system_scope

# The oldest leases stay: first those beyond a member's own limit are over, then the rest beyond the tenant's.
_OVER_LIMIT = """
SELECT id FROM (
    SELECT held.id, held.is_over, held.tenant_limit,
        sum(held.amount) FILTER (WHERE NOT held.is_over)
            OVER (PARTITION BY held.tenant_id ORDER BY held.created_at, held.id) AS in_tenant
    FROM (
        SELECT r.id, r.tenant_id, r.created_at, line.amount, l.tenant_limit,
            sum(line.amount) OVER (PARTITION BY r.tenant_id, r.user_id ORDER BY r.created_at, r.id)
                > l.member_limit AS is_over
        FROM contexts_quotareservation r
        CROSS JOIN LATERAL unnest(r.resources, r.amounts) AS line (resource, amount)
        CROSS JOIN LATERAL netra_quota_limit(r.tenant_id, r.user_id, line.resource, now()) AS l
        WHERE r.tenant_id = ANY (%s) AND line.resource = %s AND r.expires_at > now()
    ) AS held
) AS counted
WHERE is_over OR in_tenant > tenant_limit
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """A user's place in one tenant."""

    tenant_id: UUID
    user_id: UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class Rights:
    """What a member may do: their role, and the slug of the tenant's tier."""

    role: str
    tier: str


def rights_of(members: Collection[Member]) -> dict[Member, Rights]:
    """Return what each member may do now; whoever may do nothing any more is left out.

    Raises:
        UnavailableError: when the database does not answer.
    """
    with system_scope("look up members", always_audited=False):
        rows = Membership.objects.filter(
            tenant_id__in={member.tenant_id for member in members},
            user_id__in={member.user_id for member in members},
            user__is_active=True,
            tenant__is_active=True,
        ).values_list("tenant_id", "user_id", "role", "tenant__tier__slug")
        found = {
            Member(tenant_id=tenant_id, user_id=user_id): Rights(role=role, tier=tier)
            for tenant_id, user_id, role, tier in rows
        }
    return {member: found[member] for member in members if member in found}


def tenants_on(tier_ids: Collection[UUID], *, among: Collection[UUID]) -> set[UUID]:
    """Return which of the tenants `among` are on one of the tiers.

    Raises:
        UnavailableError: when the database does not answer.
    """
    with system_scope("look up tenants", always_audited=False):
        tenants = Tenant.objects.filter(id__in=among, tier_id__in=tier_ids)
        return set(tenants.values_list("id", flat=True))


def leases_over_limit(tenant_ids: Collection[UUID], resource: str) -> set[UUID]:
    """Return the reservations of a resource that are beyond the limits of now, the newest of each owner.

    Raises:
        UnavailableError: when the database does not answer.
    """
    with system_scope("look up leases", always_audited=False), connection.cursor() as cursor:
        cursor.execute(_OVER_LIMIT, [list(tenant_ids), str(resource)])
        return {row[0] for row in cursor.fetchall()}
