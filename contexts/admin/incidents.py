"""Breaches of isolation, and the notes that resolve them."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import F
from django.http import HttpRequest
from django.utils import timezone
from unfold.admin import ModelAdmin

from contexts.admin.scoping import SuperuserOnlyMixin
from contexts.exceptions import ConflictError
from contexts.incidents import resolve_incident
from contexts.models import SecurityIncident, User


@admin.register(SecurityIncident)
class SecurityIncidentAdmin(SuperuserOnlyMixin, ModelAdmin):
    """What was found, open ones first; a note resolves an incident for good."""

    list_display = ("created_at", "kind", "detector", "blocked", "resolved_at", "resolved_by")
    list_filter = (("resolved_at", admin.EmptyFieldListFilter), "kind", "detector")
    list_select_related = ("resolved_by",)
    search_fields = ("=id",)
    ordering = (F("resolved_at").desc(nulls_first=True), "-created_at")
    fields = (
        *("id", "created_at", "kind", "detector", "blocked", "contexts", "details"),
        *("resolution", "resolved_at", "resolved_by"),
    )
    readonly_fields = tuple(name for name in fields if name != "resolution")

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        """Refuse."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Tell whether the user is a superuser and the incident still open."""
        is_open = obj is None or obj.resolved_at is None
        return is_open and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse."""
        return False

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """Return a form that asks for the note."""
        form = super().get_form(request, obj, change, **kwargs)
        if "resolution" in form.base_fields:
            form.base_fields["resolution"].required = True
        return form

    def save_model(self, request: HttpRequest, obj: SecurityIncident, form: Any, change: bool) -> None:
        """Resolve the incident with the note."""
        assert isinstance(request.user, User)
        try:
            resolve_incident(obj.id, by=request.user, note=obj.resolution, now=timezone.now())
        except ConflictError as error:
            raise PermissionDenied from error
