"""Datasets."""

from django.contrib import admin

from agents.models import Dataset
from contexts.admin.scoping import TenantRecordAdmin


@admin.register(Dataset)
class DatasetAdmin(TenantRecordAdmin):
    """Usage logs that tenants have given Netra."""

    list_display = (
        "name",
        "uploader",
        "tenant",
        "format",
        "assumed_model",
        "requests",
        "input_tokens",
        "output_tokens",
        "stored_bytes",
        "created_at",
    )
    list_filter = ("format", "names_models", ("tenant", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("user", "tenant")
    search_fields = ("=id", "name", "filename", "user__username")
    date_hierarchy = "created_at"

    @admin.display(description="user", ordering="user__username")
    def uploader(self, dataset: Dataset) -> str:
        """Return who uploaded it, as far as that is still known."""
        return dataset.user.username if dataset.user else "erased"
