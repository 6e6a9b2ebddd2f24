"""What happened, and which contexts were open."""

from uuid import UUID

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.text import Truncator

from contexts.admin.scoping import TenantRecordAdmin
from contexts.models import AuditEntry, ContextRecord


@admin.register(AuditEntry)
class AuditEntryAdmin(TenantRecordAdmin):
    """What was done or refused, by whom; entries outlive the users and tenants they name."""

    list_display = ("created_at", "action", "who", "whose", "summary", "run_id")
    list_filter = ("action", ("tenant", admin.RelatedOnlyFieldListFilter))
    search_fields = ("=run_id", "=request_id", "=context_id", "action", "user__username", "tenant__name")
    fields = (
        "created_at",
        "action",
        "who",
        "whose",
        "context_id",
        "run_id",
        "request_id",
        "reason",
        "details",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditEntry]:
        """Return the entries with the user and tenant of each, as far as they are still there."""
        return super().get_queryset(request).select_related("user", "tenant")

    @admin.display(description="user", ordering="user__username")
    def who(self, entry: AuditEntry) -> str | None:
        """Return the user's name, or the id of one who was deleted."""
        return entry.user.username if entry.user else _text(entry.user_id)

    @admin.display(description="tenant", ordering="tenant__name")
    def whose(self, entry: AuditEntry) -> str | None:
        """Return the tenant's name, or the id of one that was deleted."""
        return entry.tenant.name if entry.tenant else _text(entry.tenant_id)

    @admin.display(description="details")
    def summary(self, entry: AuditEntry) -> str:
        """Return the beginning of the details in one line, the reason first."""
        # The database keeps no order of names.
        names = sorted(entry.details, key=lambda name: name != "reason")
        text = ", ".join(f"{name}: {entry.details[name]}" for name in names)
        return Truncator(text).chars(120)

    @admin.display(description="reason")
    def reason(self, entry: AuditEntry) -> str | None:
        """Return why it was done, where somebody said so."""
        return entry.details.get("reason")


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


def _text(id: UUID | None) -> str | None:
    return str(id) if id else None
