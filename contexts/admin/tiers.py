"""Tiers and their limits."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from unfold.admin import ModelAdmin, TabularInline
from unfold.forms import PaginationInlineFormSet

from contexts.admin.amounts import NAMES, ReadableAmountsMixin, plain_text, readable_limit
from contexts.admin.audited import AuditedMixin
from contexts.admin.preferences import PREFERENCES, PreferencesForm
from contexts.admin.scoping import SuperuserWritesMixin
from contexts.models import Resource, Tier, TierLimit
from contexts.preferences import validate_allowed_model
from contexts.resources import RULES


class TierForm(PreferencesForm):
    """Refuses a cheaper model that is not offered here."""

    def clean_fallback_model(self) -> str:
        """Return the model.

        Raises:
            ValidationError: when it is new here, and not among those that the installation offers.
        """
        model: str = self.cleaned_data["fallback_model"]
        if model and "fallback_model" in self.changed_data:
            validate_allowed_model(model)
        return model


class TierLimitForm(forms.ModelForm):
    """Says in words which share of a limit can be warned at."""

    class Meta:
        error_messages = {
            "limit": {"invalid": "Enter a number of 0 or more."},
            "tenant_limit": {"invalid": "Enter a number of 0 or more, or nothing."},
        }

    def clean_soft_percent(self) -> int:
        """Return the share.

        Raises:
            ValidationError: when it is none of 1 to 100 percent.
        """
        percent: int = self.cleaned_data["soft_percent"]
        if not 1 <= percent <= 100:
            raise ValidationError("A warning is sent at 1 to 100 percent of the limit.")
        return percent


class TierLimitFormSet(PaginationInlineFormSet):
    """Refuses a second limit of the same resource."""

    def validate_unique(self) -> None:
        """Say which resource stands here twice, instead of which columns must be unique.

        Raises:
            ValidationError: naming the resources.
        """
        gone = set(map(id, self.deleted_forms))
        named = [form.cleaned_data.get("resource") for form in self.forms if id(form) not in gone]
        twice = {name for name in named if name and named.count(name) > 1}
        if twice:
            names = ", ".join(str(NAMES[Resource(name)]) for name in RULES if name in twice)
            raise ValidationError(f"There can be one limit of each resource; more than one of: {names}.")


class TierLimitInline(ReadableAmountsMixin, SuperuserWritesMixin, TabularInline):
    """A tier's limits, below the tier."""

    model = TierLimit
    form = TierLimitForm
    formset = TierLimitFormSet
    extra = 0
    tab = True
    show_count = True
    hide_title = True
    fields = ("resource", "limit", "tenant_limit", "soft_percent", "means")
    readonly_fields = ("means",)
    verbose_name = "limit"
    verbose_name_plural = "limits"
    readonly_preprocess_fields = {"limit": plain_text, "tenant_limit": plain_text}

    @admin.display(description="means")
    def means(self, limit: TierLimit) -> str:
        """Return the saved limits as people read them."""
        if not limit.resource:
            return "–"
        text = readable_limit(limit.resource, limit.limit)
        together = limit.tenant_limit
        return text if together is None else f"{text}; {readable_limit(limit.resource, together)} together"


@admin.register(Tier)
class TierAdmin(AuditedMixin, SuperuserWritesMixin, ModelAdmin):
    """Service levels; a changed limit holds from the next request on."""

    form = TierForm
    fieldsets = (
        (None, {"fields": (("name", "slug"), "rank", "weight", "fallback_model", "missing")}),
        PREFERENCES,
    )
    readonly_fields = ("missing",)
    list_display = ("name", "slug", "rank", "weight", "fallback_model")
    search_fields = ("name", "slug")
    inlines = (TierLimitInline,)

    @admin.display(description="without a limit")
    def missing(self, tier: Tier) -> str:
        """Return the resources that this tier states no limit of, and what holds for them."""
        stated = set(tier.limits.values_list("resource", flat=True)) if tier.pk else set()
        missing = [name for name in RULES if name not in stated]
        return (
            "; ".join(
                f"{NAMES[Resource(name)]}: {readable_limit(name, RULES[name].fallback)}" for name in missing
            )
            or "None: every resource has its limit."
        )

    def get_fieldsets(self, request: Any, obj: Any = None) -> Any:
        """Return the sections, without what is missing where nothing is there yet."""
        sections = super().get_fieldsets(request, obj)
        if obj is not None:
            return sections
        own = [name for name in sections[0][1]["fields"] if name != "missing"]
        return ((None, {**sections[0][1], "fields": own}), *sections[1:])
