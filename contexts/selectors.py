"""Reads: where a user stands."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from contexts.exceptions import NetraError, NotAuthenticatedError, PermissionDeniedError
from contexts.models import Membership, User
from contexts.preferences import Preferences, resolve_preferences
from contexts.scope import owner_scope, system_scope

# Whose statement of preferences overrides whose: the most general first.
_STATING = ("tenant__tier__", "tenant__", "user__")
_PREFERENCES = ("model", "language", "time_zone", "agents")
# A row of a membership, from which `_standing` is read; cheaper than the four models that it is of.
_COLUMNS = (
    *("user_id", "tenant_id", "role", "tenant__tier__slug", "tenant__tier__fallback_model"),
    *(f"{of}preferred_{name}" for of in _STATING for name in _PREFERENCES),
)


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
        return standing_in_scope(user_id, tenant_id=tenant_id)


def standing_in_scope(user_id: UUID, *, tenant_id: UUID | None = None) -> Standing:
    """Return and raise what `standing_of` does, within a scope of the user's that is open, of any tenant."""
    memberships = Membership.objects.filter(
        user_id=user_id, user__is_active=True, tenant__is_active=True
    ).values_list(*_COLUMNS)
    if tenant_id is not None:
        memberships = memberships.filter(tenant_id=tenant_id)
    row = memberships.order_by("created_at", "id").first()
    if row is None:
        raise _without_standing(User.objects.filter(id=user_id, is_active=True).exists())
    return _standing(row)


@dataclass(slots=True)
class _Stated:
    """Preferences as a tier, a tenant or a user states them."""

    preferred_model: str
    preferred_language: str
    preferred_time_zone: str
    preferred_agents: list[str] | None


def standings_of(user_ids: Collection[UUID]) -> dict[UUID, Standing | NetraError]:
    """Return where each of many users stands, in the tenant they joined first, or why they stand nowhere.

    Raises:
        UnavailableError: when the database does not answer.
    """
    with system_scope("look up members", always_audited=False):
        rows = list(
            Membership.objects.filter(user_id__in=user_ids, user__is_active=True, tenant__is_active=True)
            .order_by("user_id", "created_at", "id")
            .distinct("user_id")
            .values_list(*_COLUMNS)
        )
        found: dict[UUID, Standing | NetraError] = {row[0]: _standing(row) for row in rows}
        missing = set(user_ids) - found.keys()
        active = (
            set(User.objects.filter(id__in=missing, is_active=True).values_list("id", flat=True))
            if missing
            else ()
        )
    return found | {user_id: _without_standing(user_id in active) for user_id in missing}


def _standing(row: Sequence[Any]) -> Standing:
    user_id, tenant_id, role, tier, fallback_model, *values = row
    each = len(_PREFERENCES)
    statements = [_Stated(*values[start : start + each]) for start in range(0, len(values), each)]
    return Standing(
        user_id=user_id,
        tenant_id=tenant_id,
        role=role,
        tier=tier,
        preferences=resolve_preferences(statements, fallback_model=fallback_model),
    )


def _without_standing(is_active: bool) -> NetraError:
    if is_active:
        return PermissionDeniedError("The account belongs to no active organisation.")
    return NotAuthenticatedError("The account does not exist or is deactivated.")
