"""Tenants: who belongs to them, what they use, and what is decided for them."""

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponseBase
from django.urls import URLPattern, path
from django.utils import timezone
from unfold.admin import TabularInline
from unfold.decorators import action
from unfold.widgets import UnfoldAdminSelectWidget

from contexts.admin.adjustments import QuotaGrantInline, QuotaOverrideInline
from contexts.admin.amounts import NAMES
from contexts.admin.audited import AuditedMixin
from contexts.admin.exporting import export_response
from contexts.admin.near_limits import NearLimitChangeList, NearLimitFilter
from contexts.admin.preferences import PREFERENCES, PreferencesForm
from contexts.admin.resetting import reset_page
from contexts.admin.scoping import SuperuserWritesMixin, TenantScopedAdmin, is_superuser, may_write
from contexts.admin.usage_panel import usage_panel
from contexts.models import Membership, Resource, Tenant
from contexts.staff_roles import MOVE_TENANT, RESET_QUOTAS
from contexts.usage_export import Period

_SEE_USAGE = "contexts.view_quotausage"
# A page that nothing can be changed on has no buttons: whoever may write one of these, changes it.
_STEERING = (
    MOVE_TENANT,
    *(
        f"contexts.{verb}_quota{kind}"
        for verb in ("add", "change", "delete")
        for kind in ("override", "grant")
    ),
)


class MembershipForm(forms.ModelForm):
    """Leaves a member who is there in place: only the role changes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.instance._state.adding and "user" in self.fields:
            # With the one choice, so that a page of members does not ask for each of them.
            user = (self.instance.user_id, str(self.instance.user))
            self.fields["user"].disabled = True
            self.fields["user"].widget = UnfoldAdminSelectWidget(choices=[user])


class MembershipInline(SuperuserWritesMixin, TabularInline):
    """A tenant's members, below the tenant."""

    model = Membership
    form = MembershipForm
    extra = 0
    per_page = 50
    tab = True
    show_count = True
    hide_title = True
    verbose_name_plural = "members"
    autocomplete_fields = ("user",)

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return the members with their names."""
        return super().get_queryset(request).select_related("user", "tenant")


@admin.register(Tenant)
class TenantAdmin(AuditedMixin, TenantScopedAdmin):
    """Organisations, the tier they are on, and what they use of it."""

    tenant_path = "pk"
    shown_to_operators = True
    form = PreferencesForm
    fieldsets = (
        (None, {"fields": (("name", "slug"), ("tier", "is_active"), "created_at")}),
        PREFERENCES,
    )
    list_display = ("name", "slug", "tier", "near", "is_active", "created_at")
    list_filter = (NearLimitFilter, "tier", "is_active")
    list_select_related = ("tier",)
    search_fields = ("name", "slug")
    prepopulated_fields = {"slug": ("name",)}
    readonly_fields = ("created_at",)
    inlines = (MembershipInline, QuotaOverrideInline, QuotaGrantInline)
    actions_list = ("export_current", "export_month")
    change_form_outer_before_template = "admin/contexts/tenant/usage.html"

    @admin.display(description="over 80 % of")
    def near(self, tenant: Any) -> str:
        """Return what is nearly used up, fullest first."""
        fullest = sorted(tenant.near_limits.items(), key=lambda item: -item[1])
        return ", ".join(f"{NAMES[Resource(name)]} {percent} %" for name, percent in fullest) or "–"

    @action(description="Export this window", icon="download", url_path="export-now", permissions=["export"])
    def export_current(self, request: HttpRequest) -> HttpResponseBase:
        """Return the use of the windows of now."""
        return export_response(request, self._visible(request), Period.CURRENT)

    @action(description="Export 30 days", icon="download", url_path="export-30-days", permissions=["export"])
    def export_month(self, request: HttpRequest) -> HttpResponseBase:
        """Return the use of the last 30 days."""
        return export_response(request, self._visible(request), Period.LAST_30_DAYS)

    def has_export_permission(self, request: HttpRequest) -> bool:
        """Tell whether the user may see what tenants use."""
        return request.user.has_perm(_SEE_USAGE) and self.has_view_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Tell whether the user may change something of a tenant; what, the fields say."""
        if super().has_change_permission(request, obj):
            return True
        return may_write(request, *_STEERING) and self.has_view_permission(request, obj)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Tell whether the user may look: by the permission to view, not by that to steer."""
        return is_superuser(request) or request.user.has_perm("contexts.view_tenant")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return all but the tier for those who may only move tenants, and that too for others."""
        if is_superuser(request):
            return self.readonly_fields
        mine = {"tier"} if may_write(request, MOVE_TENANT) else set()
        names = [name for _, section in self.fieldsets for name in _flat(section["fields"])]
        return [name for name in names if name not in mine]

    def get_prepopulated_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return the slug for those who may write it."""
        return self.prepopulated_fields if is_superuser(request) else {}

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        """Return what belongs to the tenant; decisions only once it is there."""
        return self.inlines if obj is not None else (MembershipInline,)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[NearLimitChangeList]:
        """Return the list that knows what is nearly used up."""
        return NearLimitChangeList

    def get_urls(self) -> list[URLPattern]:
        """Return the addresses of the tenants' pages, that of resetting among them."""
        address = path(
            "<uuid:tenant_id>/reset/<uuid:user_id>/<str:resource>/",
            self.admin_site.admin_view(self.reset),
            name="contexts_tenant_reset",
        )
        return [address, *super().get_urls()]

    def reset(self, request: HttpRequest, tenant_id: UUID, user_id: UUID, resource: str) -> HttpResponseBase:
        """Ask for a reason and reset a member's counter."""
        return reset_page(request, model_admin=self, tenant_id=tenant_id, user_id=user_id, resource=resource)

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the page, with the use of the tenant above it for those who may see that."""
        tenant = kwargs.get("obj")
        if tenant is not None and request.user.has_perm(_SEE_USAGE):
            may_reset = may_write(request, RESET_QUOTAS)
            context["usage"] = usage_panel(tenant, now=timezone.now(), may_reset=may_reset)
        return super().render_change_form(request, context, *args, **kwargs)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """Save an inline's rows, new decisions with whose they are."""
        if formset.model is not Membership:
            for row in formset.extra_forms:
                row.instance.created_by = request.user
        super().save_formset(request, form, formset, change)

    def _visible(self, request: HttpRequest) -> list[UUID]:
        return list(self.get_queryset(request).order_by("slug").values_list("pk", flat=True))


@admin.register(Membership)
class MembershipAdmin(AuditedMixin, TenantScopedAdmin):
    """Who belongs to which tenant, and as what."""

    shown_to_operators = True
    list_display = ("user", "tenant", "role", "created_at")
    list_filter = ("role", ("tenant", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("user", "tenant")
    search_fields = ("user__username", "tenant__name")
    autocomplete_fields = ("user", "tenant")


def _flat(fields: Any) -> list[str]:
    return [name for line in fields for name in ((line,) if isinstance(line, str) else line)]
