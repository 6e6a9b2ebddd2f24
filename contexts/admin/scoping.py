"""Tenant isolation in the admin: by default staff see only their own tenants' rows, and change nothing.

Superusers see and change everything. Staff who may see every tenant (`contexts.staff_roles`) do so on the
pages that are `shown_to_operators`, which have no content of users, and write what their permissions name.
"""

from typing import Any, ClassVar

from django.db.models import Model, QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from contexts.models import Tenant
from contexts.staff_roles import SEE_EVERY_TENANT


def is_superuser(request: HttpRequest) -> bool:
    """Tell whether the request's user may do everything."""
    return bool(request.user.is_active and request.user.is_superuser)


def sees_every_tenant(request: HttpRequest) -> bool:
    """Tell whether the request's user may see the rows of tenants they do not belong to."""
    return request.user.has_perm(SEE_EVERY_TENANT)


def may_write(request: HttpRequest, *permissions: str) -> bool:
    """Tell whether the user may write what one of `permissions` names, such as `contexts.move_tenant`.

    Permissions alone do not let staff write: whoever sees only their own tenants works for them.
    """
    return sees_every_tenant(request) and any(map(request.user.has_perm, permissions))


def tenants_of_staff(request: HttpRequest) -> QuerySet[Tenant]:
    """Return the tenants whose rows the request's user may see: their own, all for a superuser."""
    tenants = Tenant.objects.all()
    if is_superuser(request):
        return tenants
    return tenants.filter(memberships__user=request.user.pk)


class SuperuserWritesMixin:
    """Lets staff with the view permission look, and superusers alone add, change or delete."""

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        """Tell whether the user is a superuser who may add rows."""
        return is_superuser(request) and super().has_add_permission(request, *args)  # type: ignore[misc]

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Tell whether the user is a superuser who may change the row."""
        return is_superuser(request) and super().has_change_permission(request, obj)  # type: ignore[misc]

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Tell whether the user is a superuser who may delete the row."""
        return is_superuser(request) and super().has_delete_permission(request, obj)  # type: ignore[misc]


class TenantScopedMixin(SuperuserWritesMixin):
    """Shows staff the rows of tenants they belong to; any other row does not exist for them.

    `tenant_path` leads from the model to the tenant, as in a query. A page that is `shown_to_operators`
    shows all rows to staff who may see every tenant.
    """

    tenant_path: ClassVar[str] = "tenant"
    shown_to_operators: ClassVar[bool] = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the rows that the request's user may see."""
        rows: QuerySet[Any] = super().get_queryset(request)  # type: ignore[misc]
        if is_superuser(request) or (self.shown_to_operators and sees_every_tenant(request)):
            return rows
        # A subquery, not a join: a row that leads to a tenant twice is still one row.
        return rows.filter(
            pk__in=self.model._base_manager.filter(  # type: ignore[attr-defined]
                **{f"{self.tenant_path}__in": tenants_of_staff(request)}
            ).values("pk")
        )


class OperatorWritesMixin:
    """Lets staff who may see every tenant write what Django's permissions name."""

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        """Tell whether the user is an operator who may add rows."""
        return sees_every_tenant(request) and super().has_add_permission(request, *args)  # type: ignore[misc]

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Tell whether the user is an operator who may change the row."""
        return sees_every_tenant(request) and super().has_change_permission(request, obj)  # type: ignore[misc]

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Tell whether the user is an operator who may delete the row."""
        return sees_every_tenant(request) and super().has_delete_permission(request, obj)  # type: ignore[misc]


class SuperuserOnlyMixin(SuperuserWritesMixin):
    """Hides what belongs to no tenant in particular from everyone but superusers."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Tell whether the user is a superuser."""
        return is_superuser(request)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Tell whether the user is a superuser."""
        return is_superuser(request)


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
