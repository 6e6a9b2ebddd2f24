"""Whether overrides and grants hold now: a column and a filter that ask the database the same."""

from datetime import datetime
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Case, Exists, OuterRef, Q, QuerySet, Value, When
from django.http import HttpRequest
from django.utils import timezone

from contexts.models import QuotaGrant, QuotaOverride
from contexts.resources import RULES
from contexts.windows import window_start

YES = "yes"
EXPIRED = "expired"
SUPERSEDED = "superseded"
LATER = "later"


def with_states(rows: QuerySet[Any], *, now: datetime) -> QuerySet[Any]:
    """Return overrides or grants, each with its `state` at `now`."""
    found = [When(expires_at__lte=now, then=Value(EXPIRED))]
    if rows.model is QuotaGrant:
        is_over, is_later = _windows_beside(now)
        found += [When(is_over, then=Value(EXPIRED)), When(is_later, then=Value(LATER))]
    else:
        newer = _newer(now)
        # Before a member's own, one for every member still holds for the others.
        for_same = Q(Exists(newer.filter(user=OuterRef("user"))))
        for_all = Q(user__isnull=True) & Q(Exists(newer.filter(user__isnull=True)))
        found += [When(for_same | for_all, then=Value(SUPERSEDED))]
    return rows.annotate(state=Case(*found, default=Value(YES)))


def _newer(now: datetime) -> QuerySet[QuotaOverride]:
    """Return what is newer than an override of the same limit and has not expired."""
    is_newer = Q(created_at__gt=OuterRef("created_at")) | Q(
        created_at=OuterRef("created_at"), pk__gt=OuterRef("pk")
    )
    same = QuotaOverride.objects.filter(
        tenant=OuterRef("tenant"), resource=OuterRef("resource"), applies_to=OuterRef("applies_to")
    )
    return same.filter(is_newer, Q(expires_at__isnull=True) | Q(expires_at__gt=now))


def _windows_beside(now: datetime) -> tuple[Q, Q]:
    """Return which grants are of a window that is over, and which of one to come."""
    starts: dict[datetime, list[str]] = {}
    for name, rule in RULES.items():
        starts.setdefault(window_start(rule.window, now=now), []).append(name)
    is_over = is_later = Q(pk__in=[])
    for start, names in starts.items():
        is_over |= Q(resource__in=names, window_start__lt=start)
        is_later |= Q(resource__in=names, window_start__gt=start)
    return is_over, is_later


class InForceFilter(admin.SimpleListFilter):
    """Those that hold, or those that do not for one reason."""

    title = "in force"
    parameter_name = "in_force"
    names: ClassVar[dict[type, tuple[str, ...]]] = {
        QuotaOverride: (YES, EXPIRED, SUPERSEDED),
        QuotaGrant: (YES, EXPIRED, LATER),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the choices."""
        return [(name, name.capitalize()) for name in self.names[model_admin.model]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows chosen."""
        return queryset.filter(state=self.value()) if self.value() else queryset


class InForceMixin:
    """An admin whose rows say whether they hold."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the rows, each with its state of now."""
        return with_states(super().get_queryset(request), now=timezone.now())  # type: ignore[misc]

    @admin.display(description="in force")
    def in_force(self, row: Any) -> str:
        """Return whether it holds, or why not."""
        return str(row.state)
