"""Tenants and their members."""

from django.contrib import admin
from unfold.admin import TabularInline

from contexts.admin.preferences import PREFERENCES, PreferencesForm
from contexts.admin.scoping import SuperuserWritesMixin, TenantScopedAdmin
from contexts.models import Membership, Tenant


class MembershipInline(SuperuserWritesMixin, TabularInline):
    """A tenant's members, below the tenant."""

    model = Membership
    extra = 0
    autocomplete_fields = ("user",)


@admin.register(Tenant)
class TenantAdmin(TenantScopedAdmin):
    """Organisations and the tier they are on."""

    tenant_path = "pk"
    form = PreferencesForm
    fieldsets = ((None, {"fields": ("name", "slug", "tier", "is_active", "created_at")}), PREFERENCES)
    list_display = ("name", "slug", "tier", "is_active", "created_at")
    list_filter = ("tier", "is_active")
    list_select_related = ("tier",)
    search_fields = ("name", "slug")
    prepopulated_fields = {"slug": ("name",)}
    readonly_fields = ("created_at",)
    inlines = (MembershipInline,)


@admin.register(Membership)
class MembershipAdmin(TenantScopedAdmin):
    """Who belongs to which tenant, and as what."""

    list_display = ("user", "tenant", "role", "created_at")
    list_filter = ("role", ("tenant", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("user", "tenant")
    search_fields = ("user__username", "tenant__name")
    autocomplete_fields = ("user", "tenant")
