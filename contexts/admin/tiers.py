"""Tiers and their limits."""

from django.contrib import admin
from unfold.admin import ModelAdmin, TabularInline

from contexts.admin.preferences import PREFERENCES, PreferencesForm
from contexts.admin.scoping import SuperuserWritesMixin
from contexts.models import Tier, TierLimit


class TierLimitInline(SuperuserWritesMixin, TabularInline):
    """A tier's limits, below the tier."""

    model = TierLimit
    extra = 0


@admin.register(Tier)
class TierAdmin(SuperuserWritesMixin, ModelAdmin):
    """Service levels; a changed limit holds from the next request on."""

    form = PreferencesForm
    fieldsets = ((None, {"fields": ("name", "slug", "rank")}), PREFERENCES)
    list_display = ("name", "slug", "rank")
    search_fields = ("name", "slug")
    inlines = (TierLimitInline,)
