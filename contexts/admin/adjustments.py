"""Overrides and grants: below the tenant that they are for, and all of them in lists to look at."""

from datetime import datetime
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.http import HttpRequest
from django.utils import timezone
from unfold.admin import StackedInline
from unfold.widgets import UnfoldAdminSelectWidget

from contexts.admin.amounts import ReadableAmountsMixin, plain_text, readable, readable_limit
from contexts.admin.in_force import InForceFilter, InForceMixin
from contexts.admin.scoping import OperatorWritesMixin, TenantRecordAdmin
from contexts.models import QuotaGrant, QuotaOverride, Tenant, User
from contexts.resources import RULES
from contexts.windows import EPOCH, window_end, window_start

Adjustment = QuotaOverride | QuotaGrant

NEXT = "next"
WINDOWS = (("", "the current one"), (NEXT, "the next one"))


class AdjustmentForm(forms.ModelForm):
    """What is decided once stays as it was; how much, until when and why may be changed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.instance._state.adding:
            for name in ("resource", "applies_to", "user", "window"):
                if name in self.fields:
                    self.fields[name].disabled = True

    def clean_expires_at(self) -> datetime | None:
        """Return when it ends.

        Raises:
            ValidationError: when that has passed already.
        """
        ends: datetime | None = self.cleaned_data["expires_at"]
        if ends is not None and "expires_at" in self.changed_data and ends <= timezone.now():
            raise ValidationError("This has passed already.")
        return ends


class GrantForm(AdjustmentForm):
    """Asks for the window in words, and keeps when it begins."""

    window = forms.ChoiceField(
        choices=WINDOWS,
        required=False,
        widget=UnfoldAdminSelectWidget(),
        help_text="What counts over no time has only one.",
    )

    class Meta:
        help_texts: ClassVar[dict[str, str]] = {"expires_at": "UTC; empty: until its window ends."}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.instance._state.adding:
            shown: Any = self.fields["window"]
            shown.choices = [("", readable_window(self.instance))]

    def clean(self) -> dict[str, Any]:
        """Return what was typed, having found when its window begins."""
        cleaned: dict[str, Any] = super().clean() or {}
        rule = RULES.get(cleaned.get("resource", ""))
        if self.instance._state.adding and rule is not None:
            now = timezone.now()
            end = window_end(rule.window, now=now)
            is_next = cleaned.get("window") == NEXT and end is not None
            self.instance.window_start = end if is_next else window_start(rule.window, now=now)
        return cleaned


class AdjustmentInline(ReadableAmountsMixin, OperatorWritesMixin, StackedInline):
    """What overrides and grants have in common below their tenant."""

    extra = 0
    tab = True
    show_count = True
    readonly_preprocess_fields = {"limit": plain_text, "amount": plain_text}
    readonly_fields = ("decided",)

    def get_formset(self, request: HttpRequest, obj: Tenant | None = None, **kwargs: Any) -> Any:
        """Return the forms, which offer the tenant's members alone."""
        formset = super().get_formset(request, obj, **kwargs)
        if (users := formset.form.base_fields.get("user")) and obj is not None:
            stated = self.model._base_manager.filter(tenant=obj).values("user")
            users.queryset = User.objects.filter(Q(memberships__tenant=obj) | Q(pk__in=stated)).distinct()
            # Once for all rows, not once for each.
            users.choices = list(users.choices)
        return formset

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Return a field without links to accounts, which others look after."""
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if db_field.name == "user" and field is not None:
            field.empty_label = "every member"
        return field

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Return the field; that of the member without links to pages of accounts."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "user":
            field.widget = field.widget.widget
        return field

    @admin.display(description="decided")
    def decided(self, row: Adjustment) -> str:
        """Return by whom, and when."""
        if row._state.adding:
            return "–"
        return f"{row.created_at:%Y-%m-%d %H:%M} UTC by {row.created_by or 'somebody whose account is gone'}"

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return the rows with whom they are of and for."""
        return super().get_queryset(request).select_related("created_by", "user")


class QuotaOverrideInline(AdjustmentInline):
    """Limits of a tenant's own, below the tenant."""

    model = QuotaOverride
    form = AdjustmentForm
    verbose_name_plural = "overrides"
    fields = (("resource", "limit"), ("applies_to", "user"), "expires_at", "reason", "decided")


class QuotaGrantInline(AdjustmentInline):
    """More for once, below the tenant."""

    model = QuotaGrant
    form = GrantForm
    verbose_name_plural = "grants"
    fields = (
        *(("resource", "amount"), ("window", "applies_to"), "user"),
        *("expires_at", "reason", "decided"),
    )


class AdjustmentAdmin(InForceMixin, TenantRecordAdmin):
    """What overrides and grants have in common in lists; they are written on the tenant's page."""

    shown_to_operators = True
    list_filter = (
        *(InForceFilter, "resource", "applies_to", "tenant__tier"),
        ("tenant", admin.RelatedOnlyFieldListFilter),
    )
    list_select_related = ("tenant", "user", "created_by")
    search_fields = ("tenant__name", "tenant__slug", "user__username", "reason")
    fields = (
        *("tenant", "whose", "resource", "means"),
        *("in_force", "expires_at", "reason", "created_by", "created_at"),
    )

    @admin.display(description="for", ordering="user__username")
    def whose(self, row: Adjustment) -> str:
        """Return whose limit is meant."""
        return str(row.user) if row.user else row.get_applies_to_display()


@admin.register(QuotaOverride)
class QuotaOverrideAdmin(AdjustmentAdmin):
    """Limits in place of the tiers'."""

    list_display = (
        "tenant",
        "whose",
        "resource",
        "means",
        "in_force",
        "expires_at",
        "reason",
        "created_by",
        "created_at",
    )

    @admin.display(description="limit", ordering="limit")
    def means(self, row: QuotaOverride) -> str:
        """Return the limit as people read it."""
        return readable_limit(row.resource, row.limit)


@admin.register(QuotaGrant)
class QuotaGrantAdmin(AdjustmentAdmin):
    """Amounts on top of limits."""

    list_display = (
        *("tenant", "whose", "resource", "means", "window", "in_force", "expires_at", "reason"),
        *("created_by", "created_at"),
    )

    @admin.display(description="amount", ordering="amount")
    def means(self, row: QuotaGrant) -> str:
        """Return the amount as people read it."""
        return f"{readable(row.resource, row.amount)} more"

    @admin.display(description="window", ordering="window_start")
    def window(self, row: QuotaGrant) -> str:
        """Return the window as people read it."""
        return readable_window(row)


def readable_window(row: Any) -> str:
    """Return the window of a grant or counter as people read it; a dash where it counts over no time."""
    return "–" if row.window_start == EPOCH else f"{row.window_start:%Y-%m-%d %H:%M} UTC"
