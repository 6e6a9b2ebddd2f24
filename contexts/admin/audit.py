"""What happened, and which contexts were open."""

from django.contrib import admin

from contexts.admin.scoping import TenantRecordAdmin
from contexts.models import AuditEntry, ContextRecord


@admin.register(AuditEntry)
class AuditEntryAdmin(TenantRecordAdmin):
    """What was done or refused, by whom."""

    list_display = ("created_at", "action", "user", "tenant", "run_id")
    list_filter = ("action", ("tenant", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("user", "tenant")
    search_fields = ("=run_id", "=request_id", "user__username")


@admin.register(ContextRecord)
class ContextRecordAdmin(TenantRecordAdmin):
    """Root execution contexts and the processes that held them."""

    list_display = (
        "opened_at",
        "operation",
        "user",
        "tenant",
        "host",
        "process_id",
        "closed_at",
        "close_reason",
    )
    list_filter = (
        "operation",
        "close_reason",
        ("closed_at", admin.EmptyFieldListFilter),
        ("tenant", admin.RelatedOnlyFieldListFilter),
    )
    list_select_related = ("user", "tenant")
    search_fields = ("=id", "=run_id", "user__username")
