"""What users have used of their quotas."""

from django.contrib import admin

from contexts.admin.scoping import TenantRecordAdmin
from contexts.models import QuotaUsage


@admin.register(QuotaUsage)
class QuotaUsageAdmin(TenantRecordAdmin):
    """Counters by user, resource and window; the numbers are the program's."""

    list_display = ("user", "tenant", "resource", "window_start", "used", "reserved", "updated_at")
    list_filter = ("resource", ("tenant", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("user", "tenant")
    search_fields = ("user__username", "tenant__name")
    date_hierarchy = "window_start"
