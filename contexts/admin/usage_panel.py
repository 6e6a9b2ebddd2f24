"""What a tenant's page says about its use: bars, the last 30 days, and who used most."""

import json
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.urls import reverse

from contexts.admin.amounts import NAMES, readable, readable_limit
from contexts.models import Resource, Tenant, Window
from contexts.operators import RESETTABLE
from contexts.resources import RULES
from contexts.tenant_spending import CHARTED, DAYS, UserSpending, spending_by_day, top_users
from contexts.tenant_usage import COUNTED, Level, ResourceStanding, limits_of_tenant, standing_of_tenant
from contexts.windows import window_end

Shown = dict[str, Any]

_WARN_AT = 80


def usage_panel(tenant: Tenant, *, now: datetime, may_reset: bool) -> Shown:
    """Return what the template `usage.html` shows of a tenant."""
    bounds = [name for name in RULES if name not in COUNTED]
    limits = limits_of_tenant(tenant.pk, bounds, now=now)
    return {
        "resources": [
            _resource(tenant, standing, now=now, may_reset=may_reset)
            for standing in standing_of_tenant(tenant.pk, now=now)
        ],
        "bounds": [
            {"name": NAMES[Resource(name)], "limit": readable_limit(name, limits[name])} for name in bounds
        ],
        "charts": [
            _chart(resource, by_day) for resource, by_day in spending_by_day(tenant.pk, now=now).items()
        ],
        "days": DAYS,
        "top_users": {
            "headers": ["User", *(NAMES[name] for name in CHARTED)],
            "rows": [_spending(user) for user in top_users(tenant.pk, now=now)],
        },
        "members_address": f"{_address('quotausage')}?tenant__id__exact={tenant.pk}&window=current",
    }


def _resource(tenant: Tenant, standing: ResourceStanding, *, now: datetime, may_reset: bool) -> Shown:
    resource = standing.resource
    window = RULES[resource].window
    can_reset = may_reset and resource in RESETTABLE
    return {
        "name": NAMES[Resource(resource)],
        "resource": resource,
        "each": readable_limit(resource, standing.member_limit),
        "ends_at": window_end(window, now=now) if window != Window.MINUTE else None,
        "together": _bar(resource, standing.together),
        "members": [
            {
                "name": member.username,
                "bar": _bar(resource, member),
                "reset": reverse("admin:contexts_tenant_reset", args=[tenant.pk, member.user_id, resource])
                if can_reset and member.used
                else None,
            }
            for member in standing.fullest
        ],
    }


def _bar(resource: str, level: Level) -> Shown:
    """Return a bar of what is used and what is reserved, with the figures beside it."""
    figures = readable(resource, level.used)
    if level.reserved:
        figures += f" + {readable(resource, level.reserved)} reserved"
    if level.limit is None:
        return {"figures": figures, "limit": None, "items": []}
    whole = level.limit or level.taken or Decimal(1)
    used = min(Decimal(100), 100 * level.used / whole)
    reserved = min(100 - used, 100 * level.reserved / whole)
    percent = level.percent or 0
    color = "bg-red-500" if percent >= 100 else "bg-orange-500" if percent >= _WARN_AT else "bg-primary-600"
    parts = [("Used", used, color), ("Reserved", reserved, f"{color} opacity-50")]
    return {
        "figures": figures,
        "limit": readable(resource, level.limit),
        "share": f"{percent} %" if percent or not level.taken else "<1 %",
        "is_full": percent >= 100,
        "items": [
            {"title": title, "value": f"{part:.2f}", "progress_class": shade}
            for title, part, shade in parts
            if part
        ],
    }


def _chart(resource: str, by_day: Mapping[date, Decimal]) -> Shown:
    series = {
        "data": [float(used) for used in by_day.values()],
        "backgroundColor": "var(--color-primary-600)",
    }
    return {
        "name": NAMES[Resource(resource)],
        "total": readable(resource, sum(by_day.values(), Decimal(0))),
        "busiest": readable(resource, max(by_day.values())),
        "data": json.dumps({"labels": [f"{day:%d %b}" for day in by_day], "datasets": [series]}),
    }


def _spending(user: UserSpending) -> list[str]:
    figures = (user.runs, user.tokens, user.cost_usd)
    shown = [readable(name, figure) for name, figure in zip(CHARTED, figures, strict=True)]
    return [user.username or f"{user.user_id} (deleted)", *shown]


def _address(model: str) -> str:
    return reverse(f"admin:contexts_{model}_changelist")
