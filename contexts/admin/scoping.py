"""Tenant isolation in the admin: all but superusers see only their own tenants' rows, and change nothing."""

from typing import Any, ClassVar

from django.db.models import Model, QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from contexts.models import Tenant


def tenants_of_staff(request: HttpRequest) -> QuerySet[Tenant]:
    """Return the tenants whose rows the request's user may see: their own, all for a superuser."""
    tenants = Tenant.objects.all()
    if _is_superuser(request):
        return tenants
    return tenants.filter(memberships__user=request.user.pk)


class SuperuserWritesMixin:
    """Lets staff with the view permission look, and superusers alone add, change or delete."""

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        """Tell whether the user is a superuser who may add rows."""
        return _is_superuser(request) and super().has_add_permission(request, *args)  # type: ignore[misc]

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Tell whether the user is a superuser who may change the row."""
        return _is_superuser(request) and super().has_change_permission(request, obj)  # type: ignore[misc]

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Tell whether the user is a superuser who may delete the row."""
        return _is_superuser(request) and super().has_delete_permission(request, obj)  # type: ignore[misc]


class TenantScopedMixin(SuperuserWritesMixin):
    """Shows staff the rows of tenants they belong to; any other row does not exist for them.

    `tenant_path` leads from the model to the tenant, as in a query.
    """

    tenant_path: ClassVar[str] = "tenant"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the rows that the request's user may see."""
        rows: QuerySet[Any] = super().get_queryset(request)  # type: ignore[misc]
        if _is_superuser(request):
            return rows
        # A subquery, not a join: a row that leads to a tenant twice is still one row.
        return rows.filter(
            pk__in=self.model._base_manager.filter(  # type: ignore[attr-defined]
                **{f"{self.tenant_path}__in": tenants_of_staff(request)}
            ).values("pk")
        )


class SuperuserOnlyMixin(SuperuserWritesMixin):
    """Hides what belongs to no tenant in particular from everyone but superusers."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Tell whether the user is a superuser."""
        return _is_superuser(request)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Tell whether the user is a superuser."""
        return _is_superuser(request)


class ReadOnlyMixin:
    """Rows that the program writes and people only look at."""

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        """Refuse."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Refuse."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Refuse."""
        return False


class TenantScopedAdmin(TenantScopedMixin, ModelAdmin):
    """The admin of a model with rows of tenants."""


class TenantRecordAdmin(ReadOnlyMixin, TenantScopedAdmin):
    """The admin of a model with rows of tenants that only the program writes."""


def _is_superuser(request: HttpRequest) -> bool:
    return bool(request.user.is_active and request.user.is_superuser)
