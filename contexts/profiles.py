"""Who the context's user is and what they prefer, for themselves."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from contexts.audit import record_audit
from contexts.context import UserExecutionContext
from contexts.models import Tenant, User
from contexts.preferences import agent_names, resolve_preferences


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


@dataclass(frozen=True, kw_only=True, slots=True)
class PreferredValues:
    """A model, a language (BCP 47), a time zone (IANA) and the names of agents; none: not said."""

    model: str | None
    language: str | None
    time_zone: str | None
    agents: list[str] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class UserPreferences:
    """What a user states, and what holds after their tier, their tenant and themselves."""

    stated: PreferredValues
    effective: PreferredValues


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


def preferences_of(context: UserExecutionContext) -> UserPreferences:
    """Return what the context's user prefers, as it is now."""
    return _preferences_of(User.objects.get(id=context.user_id), context.tenant_id)


def change_preferences(
    context: UserExecutionContext, changes: Mapping[str, str | list[str] | None]
) -> UserPreferences:
    """State preferences of the context's user, in the current transaction; return what holds then.

    `changes` has valid values by the names of `PreferredValues`; blank ones are no longer stated.
    """
    # Rows that refer to the user may be written meanwhile, so the key is not locked.
    user = User.objects.select_for_update(no_key=True).get(id=context.user_id)
    changed: list[str] = []
    for name, value in changes.items():
        field = f"preferred_{name}"
        if name == "agents":
            stated: str | list[str] | None = list(dict.fromkeys(value)) if value else None
        else:
            stated = value or ""
        if stated != getattr(user, field):
            setattr(user, field, stated)
            changed.append(name)
    if changed:
        user.save(update_fields=[f"preferred_{name}" for name in changed])
        record_audit(context, "preferences_changed", fields=sorted(changed))
    return _preferences_of(user, context.tenant_id)


def _preferences_of(user: User, tenant_id: UUID) -> UserPreferences:
    tenant = Tenant.objects.select_related("tier").get(id=tenant_id)
    resolved = resolve_preferences([tenant.tier, tenant, user])
    return UserPreferences(
        stated=PreferredValues(
            model=user.preferred_model or None,
            language=user.preferred_language or None,
            time_zone=user.preferred_time_zone or None,
            agents=user.preferred_agents,
        ),
        effective=PreferredValues(
            model=resolved.chosen_model,
            language=resolved.language or None,
            time_zone=resolved.time_zone,
            agents=[name for name in agent_names().known if resolved.allows(name)],
        ),
    )
