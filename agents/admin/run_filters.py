"""What lists of runs can be narrowed down to, each answered from an index."""

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import DurationField, ExpressionWrapper, F, Q, QuerySet, lookups
from django.http import HttpRequest
from django.utils import timezone
from unfold.contrib.filters.admin import DropdownFilter

from agents.models import Run
from agents.models.runs import OPEN_STATUSES
from agents.stuck_runs import stuck_runs

OPEN = "open"
STUCK = "stuck"
SLOW_AFTER = timedelta(minutes=1)
"""What takes longer is slow; as the index `run_slow` has it."""

_RECENT = 2_000
_PERIODS = {
    "hour": ("Last hour", timedelta(hours=1)),
    "day": ("Last 24 hours", timedelta(days=1)),
    "week": ("Last 7 days", timedelta(days=7)),
    "month": ("Last 30 days", timedelta(days=30)),
}


class StateFilter(admin.SimpleListFilter):
    """Runs that are open, or do not get on, or took long, or were begun more than once."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the choices."""
        return [(OPEN, "Open"), (STUCK, "Stuck"), ("slow", "Over a minute"), ("lost", "Begun more than once")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Run]) -> QuerySet[Run]:
        """Return the runs chosen."""
        match self.value():
            case "open":
                return queryset.filter(status__in=OPEN_STATUSES)
            case "stuck":
                return queryset.filter(pk__in=[stuck.run_id for stuck in stuck_runs()])
            case "slow":
                return queryset.filter(is_slow())
            case "lost":
                return queryset.filter(attempt__gt=1)
            case _:
                return queryset


class AskedFilter(DropdownFilter):
    """Runs that were asked for lately."""

    title = "asked"
    parameter_name = "asked"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the choices."""
        return [(name, text) for name, (text, _) in _PERIODS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Run]) -> QuerySet[Run]:
        """Return the runs chosen."""
        period = _PERIODS.get(self.value() or "")
        return queryset if period is None else queryset.filter(created_at__gte=timezone.now() - period[1])


class RecentValueFilter(DropdownFilter):
    """Runs with one value of a column; offered are those that the latest 2,000 runs have."""

    column: str

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the choices, with the one made."""
        latest = Run.objects.order_by("-created_at", "-id").values("pk")[:_RECENT]
        rows = Run.objects.filter(pk__in=latest).exclude(**{self.column: ""}).order_by()
        found = {
            *rows.values_list(self.column, flat=True).distinct(),
            request.GET.get(self.parameter_name, ""),
        }
        return [(value, value) for value in sorted(found - {""})]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Run]) -> QuerySet[Run]:
        """Return the runs chosen."""
        return queryset.filter(**{self.column: self.value()}) if self.value() else queryset


class ModelFilter(RecentValueFilter):
    """Runs answered by one model."""

    title = parameter_name = column = "model"


class ErrorFilter(RecentValueFilter):
    """Runs that failed for one reason."""

    title = "error"
    parameter_name = column = "error_code"


def is_slow() -> Q:
    """Return which runs took longer than `SLOW_AFTER` once they were begun."""
    took = ExpressionWrapper(F("finished_at") - F("started_at"), output_field=DurationField())
    return Q(lookups.GreaterThan(took, SLOW_AFTER))
