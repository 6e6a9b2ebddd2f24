"""What staff may be allowed beyond their own tenants, and the two groups that are always there."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from django.apps import apps as installed_apps

SEE_EVERY_TENANT = "contexts.see_every_tenant"
"""Pages of tenants, quotas and runs show every tenant's rows, not only those of one's own."""
MOVE_TENANT = "contexts.move_tenant"
"""Put a tenant on another tier."""
RESET_QUOTAS = "contexts.reset_quotas"
"""Set what a member has used back to nothing."""
CANCEL_RUNS = "agents.cancel_run"
"""Have runs of any tenant stopped."""
RETRY_RUNS = "agents.retry_run"
"""Have what failed asked again, for its user and on their quota."""

_SUPPORT = (
    SEE_EVERY_TENANT,
    "agents.view_run",
    CANCEL_RUNS,
    RETRY_RUNS,
    "procrastinate.view_procrastinatejob",
    "procrastinate.view_procrastinateworker",
    *(
        f"contexts.view_{model}"
        for model in (
            *("tenant", "membership", "tier", "tierlimit", "quotaoverride", "quotagrant"),
            *("quotausage", "tenantquotausage", "quotareservation", "quotaentry"),
        )
    ),
)
_QUOTA_MANAGER = (
    *_SUPPORT,
    MOVE_TENANT,
    RESET_QUOTAS,
    *(
        f"contexts.{verb}_{model}"
        for model in ("quotaoverride", "quotagrant")
        for verb in ("add", "change", "delete")
    ),
)

ROLES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"Support": _SUPPORT, "Quota manager": _QUOTA_MANAGER}
)
"""The permissions of each group."""


def give_roles(app_config: Any, using: str, apps: Any = installed_apps, **kwargs: Any) -> None:
    """Have the groups there, with exactly these permissions of one application; a receiver of `post_migrate`.

    Whoever wants others makes a group of their own: each `migrate` restores these.
    """
    try:
        groups = apps.get_model("auth", "Group").objects.using(using)
        permissions = apps.get_model("auth", "Permission").objects.using(using)
    except LookupError:  # an earlier state, without groups
        return
    label = app_config.label
    if not any(name.startswith(f"{label}.") for name in _QUOTA_MANAGER):
        return
    for role, names in ROLES.items():
        wanted = {name.partition(".")[2] for name in names if name.startswith(f"{label}.")}
        group, _ = groups.get_or_create(name=role)
        of_application = permissions.filter(content_type__app_label=label)
        group.permissions.remove(*of_application.exclude(codename__in=wanted))
        group.permissions.add(*of_application.filter(codename__in=wanted))
