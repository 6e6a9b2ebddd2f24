"""Runs."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from agents.models import Run
from contexts.admin.scoping import TenantRecordAdmin, tenants_of_staff

# What people wrote, or what may repeat it; kept from whoever looks after other people's tenants.
_CONTENT = {"text", "error_message", "idempotency_key"}


@admin.register(Run)
class RunAdmin(TenantRecordAdmin):
    """Questions on their way to answers."""

    shown_to_operators = True
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

    def get_fields(self, request: HttpRequest, obj: Run | None = None) -> Any:
        """Return the fields; those with content only of runs of one's own tenants."""
        fields = super().get_fields(request, obj)
        if obj is not None and tenants_of_staff(request).filter(pk=obj.tenant_id).exists():
            return fields
        return [name for name in fields if name not in _CONTENT | {"thread"}]

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """Refuse to find runs by their content to all but superusers."""
        is_superuser = request is not None and request.user.is_superuser
        if lookup.partition("__")[0] in _CONTENT and not is_superuser:
            return False
        return bool(super().lookup_allowed(lookup, value, request))
