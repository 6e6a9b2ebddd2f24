"""What is used of quotas, what is set aside, and the ledger: to look at, the program alone writes them."""

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from unfold.decorators import action
from unfold.paginator import InfinitePaginator

from contexts.admin.adjustments import readable_window
from contexts.admin.amounts import readable
from contexts.admin.near_limits import CurrentWindowFilter
from contexts.admin.scoping import TenantRecordAdmin, may_write
from contexts.models import QuotaEntry, QuotaReservation, QuotaUsage, Tenant, TenantQuotaUsage, User
from contexts.operators import RESETTABLE
from contexts.resources import RULES
from contexts.staff_roles import RESET_QUOTAS
from contexts.windows import window_start


class CounterAdmin(TenantRecordAdmin):
    """What the counters of members and of tenants have in common."""

    shown_to_operators = True
    list_filter = (
        *(CurrentWindowFilter, "resource", "tenant__tier"),
        ("tenant", admin.RelatedOnlyFieldListFilter),
    )
    date_hierarchy = "window_start"
    fields: ClassVar[tuple[str, ...]] = (
        *("tenant", "resource", "window", "is_used", "is_reserved", "updated_at"),
    )

    @admin.display(description="window", ordering="window_start")
    def window(self, row: QuotaUsage | TenantQuotaUsage) -> str:
        """Return the window as people read it."""
        return readable_window(row)

    @admin.display(description="used", ordering="used")
    def is_used(self, row: QuotaUsage | TenantQuotaUsage) -> str:
        """Return what is used as people read it."""
        return readable(row.resource, row.used)

    @admin.display(description="reserved", ordering="reserved")
    def is_reserved(self, row: QuotaUsage | TenantQuotaUsage) -> str:
        """Return what is reserved as people read it."""
        return readable(row.resource, row.reserved)


@admin.register(QuotaUsage)
class QuotaUsageAdmin(CounterAdmin):
    """Counters by user, resource and window; the numbers are the program's."""

    list_display = ("user", "tenant", "resource", "window", "is_used", "is_reserved", "updated_at")
    fields = ("user", *CounterAdmin.fields)
    list_select_related = ("user", "tenant")
    search_fields = ("user__username", "tenant__name")
    actions_detail = ("reset",)

    @action(description="Reset", icon="restart_alt", permissions=["reset"])
    def reset(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Lead to the page that asks for a reason."""
        row = self.get_object(request, object_id)
        if row is None:
            return HttpResponseRedirect(reverse("admin:contexts_quotausage_changelist"))
        return HttpResponseRedirect(
            reverse("admin:contexts_tenant_reset", args=[row.tenant_id, row.user_id, row.resource])
        )

    def has_reset_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        """Tell whether the user may reset counters, and this one is of a window that goes on."""
        if not may_write(request, RESET_QUOTAS):
            return False
        row = self.get_object(request, object_id) if object_id else None
        return (
            row is not None
            and row.resource in RESETTABLE
            and row.window_start == window_start(RULES[row.resource].window, now=timezone.now())
        )


@admin.register(TenantQuotaUsage)
class TenantQuotaUsageAdmin(CounterAdmin):
    """Counters of all members of a tenant together."""

    list_display = ("tenant", "resource", "window", "is_used", "is_reserved", "updated_at")
    list_select_related = ("tenant",)
    search_fields = ("tenant__name",)


@admin.register(QuotaReservation)
class QuotaReservationAdmin(TenantRecordAdmin):
    """What is set aside for work under way; what expires is refunded by itself."""

    shown_to_operators = True
    list_display = ("created_at", "purpose", "user", "tenant", "lines", "expires_at")
    list_filter = ("purpose", ("tenant", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("user", "tenant")
    search_fields = ("=id", "user__username", "tenant__name")
    fields = ("id", "purpose", "user", "tenant", "lines", "created_at", "expires_at")

    @admin.display(description="set aside")
    def lines(self, row: QuotaReservation) -> str:
        """Return how much of what."""
        lines = zip(row.resources, row.amounts, strict=True)
        return ", ".join(f"{resource} {readable(resource, amount)}" for resource, amount in lines) or "–"


@admin.register(QuotaEntry)
class QuotaEntryAdmin(TenantRecordAdmin):
    """The ledger: every change of a counter, newest first."""

    shown_to_operators = True
    # To count a million rows takes longer than to show a page of them.
    paginator = InfinitePaginator
    show_full_result_count = False
    list_display = (
        *("at", "kind", "resource", "who", "whose", "is_used", "is_reserved", "window"),
        "reservation",
    )
    list_filter = ("kind", "resource")
    search_fields = ("=reservation_id",)
    fields = (
        *("at", "kind", "resource", "who", "whose", "is_used", "is_reserved", "window"),
        "reservation_id",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the entries with the names of those whose account or tenant is still there."""
        # No join, which would hide the entries of the deleted.
        users = User.objects.filter(pk=OuterRef("user_id")).values("username")
        tenants = Tenant.objects.filter(pk=OuterRef("tenant_id")).values("name")
        return super().get_queryset(request).annotate(username=Subquery(users), tenant_name=Subquery(tenants))

    @admin.display(description="created at", ordering="created_at")
    def at(self, entry: QuotaEntry) -> str:
        """Return when it was written, to the second."""
        return f"{entry.created_at:%Y-%m-%d %H:%M:%S} UTC"

    @admin.display(description="reservation")
    def reservation(self, entry: QuotaEntry) -> str | None:
        """Return the end of the reservation's id, which leads to all its entries."""
        id = entry.reservation_id
        # Ids of one time begin alike.
        return format_html('<a href="?q={}" title="{}">…{}</a>', id, id, str(id)[-12:]) if id else None

    @admin.display(description="used", ordering="used")
    def is_used(self, entry: QuotaEntry) -> str:
        """Return what was added to what is used, as people read it."""
        return readable(entry.resource, entry.used)

    @admin.display(description="reserved", ordering="reserved")
    def is_reserved(self, entry: QuotaEntry) -> str:
        """Return what was added to what is reserved, as people read it."""
        return readable(entry.resource, entry.reserved)

    @admin.display(description="user")
    def who(self, entry: Any) -> str:
        """Return the user's name, or the id of one who was deleted."""
        return entry.username or str(entry.user_id)

    @admin.display(description="tenant")
    def whose(self, entry: Any) -> str:
        """Return the tenant's name, or the id of one that was deleted."""
        return entry.tenant_name or str(entry.tenant_id)

    @admin.display(description="window", ordering="window_start")
    def window(self, entry: QuotaEntry) -> str:
        """Return the window as people read it."""
        return readable_window(entry)
