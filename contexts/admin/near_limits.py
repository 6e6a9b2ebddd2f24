"""Lists of what is nearly used up: filters, and a column that says how much."""

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.views import ChangeList

from contexts.admin.amounts import NAMES
from contexts.models import Resource
from contexts.resources import RULES
from contexts.tenant_usage import COUNTED, near_limits
from contexts.windows import window_start

ANY = "any"


class NearLimitFilter(admin.SimpleListFilter):
    """Tenants of which a member, or all together, have taken 80 % or more of a limit."""

    title = "over 80 %"
    parameter_name = "over_80"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the choices: any resource, or one."""
        return [(ANY, "Of any limit"), *((name, NAMES[Resource(name)]) for name in COUNTED)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the tenants chosen."""
        chosen = self.value()
        if chosen is None:
            return queryset
        resources = COUNTED if chosen == ANY else [name for name in COUNTED if name == chosen]
        return queryset.filter(pk__in=near_limits(now=timezone.now(), resources=resources))


class CurrentWindowFilter(admin.SimpleListFilter):
    """Counters of the windows that go on now."""

    title = "window"
    parameter_name = "window"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the choices."""
        return [("current", "Current ones")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the counters chosen."""
        if self.value() != "current":
            return queryset
        now = timezone.now()
        is_current = Q(pk__in=[])
        for name, rule in RULES.items():
            is_current |= Q(resource=name, window_start=window_start(rule.window, now=now))
        return queryset.filter(is_current)


class NearLimitChangeList(ChangeList):
    """A page of tenants, each with `near_limits`: what is nearly used up, by resource in percent."""

    def get_results(self, request: HttpRequest) -> None:
        """Find the page's tenants, and ask for all of them at once."""
        super().get_results(request)
        tenants: list[Any] = list(self.result_list)  # type: ignore[has-type]
        found: dict[UUID, dict[str, int]] = near_limits(
            now=timezone.now(), tenants=[tenant.pk for tenant in tenants]
        )
        for tenant in tenants:
            tenant.near_limits = found.get(tenant.pk, {})
        self.result_list = tenants
