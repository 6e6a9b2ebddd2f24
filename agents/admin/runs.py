"""Runs."""

from django.contrib import admin

from agents.models import Run
from contexts.admin.scoping import TenantRecordAdmin


@admin.register(Run)
class RunAdmin(TenantRecordAdmin):
    """Questions on their way to answers."""

    list_display = (
        "id",
        "user",
        "tenant",
        "status",
        "model",
        "attempt",
        "input_tokens",
        "output_tokens",
        "cost_usd",
        "error_code",
        "created_at",
        "finished_at",
    )
    list_filter = ("status", "model", "error_code", ("tenant", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("user", "tenant")
    search_fields = ("=id", "=thread__id", "user__username")
    date_hierarchy = "created_at"
