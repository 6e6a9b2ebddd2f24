"""Runs: which there are, how each went, and having them stopped or asked again."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone
from django.utils.html import format_html
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.views import ChangeList

from agents.admin.estimated_pages import EstimatingPaginator
from agents.admin.run_actions import CANCEL, RETRY, ActionKind, action_page
from agents.admin.run_figures import readable_seconds
from agents.admin.run_filters import STUCK, AskedFilter, ErrorFilter, ModelFilter, StateFilter
from agents.admin.run_panel import run_panel
from agents.models import Run
from agents.models.runs import OPEN_STATUSES, RunStatus
from agents.stuck_runs import stuck_runs
from contexts.admin.amounts import readable
from contexts.admin.scoping import (
    TenantRecordAdmin,
    is_superuser,
    may_write,
    sees_every_tenant,
    tenants_of_staff,
)
from contexts.models import Resource, User

# What people wrote, or what may repeat it; kept from whoever looks after other people's tenants.
_CONTENT = ("thread", "text", "error_message", "idempotency_key")
_FIELDS = ("id", ("tenant", "user"), ("created_at", "started_at"), ("finished_at", "agent"), "dataset_ids")
_MOST_USERS = 200
_COLORS = {
    RunStatus.QUEUED: "info",
    RunStatus.RUNNING: "primary",
    RunStatus.COMPLETED: "success",
    RunStatus.FAILED: "danger",
    RunStatus.CANCELLED: "warning",
}


class StuckChangeList(ChangeList):
    """A page of stuck runs, each with `stuck`: what is the matter with it."""

    def get_results(self, request: HttpRequest) -> None:
        """Find the page's runs, and look at all of them at once."""
        super().get_results(request)
        runs: list[Any] = list(self.result_list)  # type: ignore[has-type]
        found = {stuck.run_id: stuck for stuck in stuck_runs()}
        for run in runs:
            run.stuck = found.get(run.pk)
        self.result_list = runs


@admin.register(Run)
class RunAdmin(TenantRecordAdmin):
    """Questions on their way to answers; nothing of them can be edited."""

    shown_to_operators = True
    paginator = EstimatingPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    list_display = ("short_id", "asked", "state", "user", "tenant", "model", "used", "error", "times")
    list_filter = (
        StateFilter,
        ("status", ChoicesDropdownFilter),
        ErrorFilter,
        ModelFilter,
        ("tenant", AutocompleteSelectFilter),
        AskedFilter,
    )
    list_filter_submit = True
    list_select_related = ("user", "tenant")
    search_fields = ("id", "thread__id", "user__username")
    search_help_text = "A run's, thread's or user's id, the job's of an open run, or a user's name."
    # What no index is in the order of is not sorted.
    sortable_by = ("asked",)
    change_form_outer_before_template = "admin/agents/run/panel.html"
    actions = ("cancel_selected", "retry_selected")
    actions_detail = ("cancel", "retry")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Run]:
        """Return the runs that staff may see, without what was asked."""
        rows: QuerySet[Run] = Run._default_manager.order_by("-created_at", "-id")
        if not (is_superuser(request) or sees_every_tenant(request)):
            rows = rows.filter(tenant__in=tenants_of_staff(request).values("pk"))
        return rows

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Run], search_term: str
    ) -> tuple[QuerySet[Run], bool]:
        """Return the runs that a term names: each kind of name leads through an index."""
        term = search_term.strip()
        if not term:
            return queryset, False
        try:
            named = UUID(term)
        except ValueError:
            if term.isascii() and term.isdecimal() and len(term) < 19:
                of_job = queryset.filter(status__in=OPEN_STATUSES, job_id=int(term))
                if of_job.exists():
                    return of_job, False
            users = User.objects.filter(username__icontains=term).values_list("pk", flat=True)
            return queryset.filter(user__in=list(users[:_MOST_USERS])), False
        return queryset.filter(Q(pk=named) | Q(thread_id=named) | Q(user_id=named)), False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Return the list, that of stuck runs with what is the matter with each."""
        return StuckChangeList if _is_of_stuck(request) else ChangeList

    def get_list_display(self, request: HttpRequest) -> Any:
        """Return the columns; of stuck runs why they are."""
        if _is_of_stuck(request):
            return ("short_id", "asked", "state", "user", "tenant", "why", "times")
        return super().get_list_display(request)

    def get_fields(self, request: HttpRequest, obj: Run | None = None) -> Any:
        """Return the fields; those with content only of runs of one's own tenants."""
        about = (
            "id",
            ("tenant", "user"),
            ("created_at", "started_at", "finished_at"),
            ("agent", "dataset_ids"),
        )
        if obj is not None and self._may_read(request, obj):
            return (*about, *_CONTENT)
        return about

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """Refuse to find runs by their content to all but superusers."""
        is_super = request is not None and request.user.is_superuser
        if lookup.partition("__")[0] in _CONTENT[1:] and not is_super:
            return False
        return bool(super().lookup_allowed(lookup, value, request))

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the page, with how the run went above its values."""
        run = kwargs.get("obj")
        if run is not None:
            may_read = self._may_read(request, run)
            context["run_panel"] = run_panel(run, request=request, may_read=may_read, now=timezone.now())
        return super().render_change_form(request, context, *args, **kwargs)

    @display(description="run")
    def short_id(self, run: Run) -> str:
        """Return the end of the run's id; ids of one time begin alike."""
        return _in_one_line(f"…{str(run.pk)[-8:]}", title=str(run.pk))

    @display(description="status", label=_COLORS)
    def state(self, run: Run) -> tuple[str, str]:
        """Return the status, and how to show it."""
        return run.status, run.get_status_display()

    @display(description="why it is stuck")
    def why(self, run: Any) -> str:
        """Return why it does not get on, and what to do."""
        if run.stuck is None:
            return "It gets on again."
        return format_html("{} {}", run.stuck.why, run.stuck.remedy)

    @display(description="tokens, cost")
    def used(self, run: Run) -> str:
        """Return the tokens in and out together, and their list price."""
        both = run.input_tokens + run.output_tokens
        if not both:
            return "–"
        text = f"{both:,} · {readable(Resource.COST_USD, run.cost_usd)}"
        return _in_one_line(text, title=f"{run.input_tokens:,} in, {run.output_tokens:,} out")

    @display(description="error")
    def error(self, run: Run) -> str:
        """Return the code of its error."""
        return _in_one_line(run.error_code or "–")

    @display(description="waited + took")
    def times(self, run: Run) -> str:
        """Return how long it was queued and how long it was worked on, so far if it still is."""
        text = _between(run.created_at, run.started_at or run.finished_at)
        if run.started_at is not None:
            text += f" + {_between(run.started_at, run.finished_at)}"
        return _in_one_line(text, title="" if run.finished_at else "so far")

    @display(description="asked", ordering="created_at")
    def asked(self, run: Run) -> str:
        """Return when it was asked for."""
        return _in_one_line(f"{run.created_at:%m-%d %H:%M:%S}", title=f"{run.created_at:%Y-%m-%d %H:%M:%S}")

    @admin.action(description="Cancel the selected runs", permissions=["cancel"])
    def cancel_selected(self, request: HttpRequest, runs: QuerySet[Run]) -> HttpResponseBase | None:
        """Ask whether to cancel the runs, and do."""
        return self._act(request, runs, CANCEL)

    @admin.action(description="Ask the selected runs again", permissions=["retry"])
    def retry_selected(self, request: HttpRequest, runs: QuerySet[Run]) -> HttpResponseBase | None:
        """Ask whether to have the runs asked again, and do."""
        return self._act(request, runs, RETRY)

    @action(
        description="Cancel",
        icon="cancel",
        url_path="cancel",
        permissions=["cancel"],
        variant=ActionVariant.DANGER,
    )
    def cancel(self, request: HttpRequest, object_id: str) -> HttpResponseBase | None:
        """Ask whether to cancel the run, and do."""
        return self._act(request, self.get_queryset(request).filter(pk=object_id), CANCEL)

    @action(description="Ask again", icon="replay", url_path="retry", permissions=["retry"])
    def retry(self, request: HttpRequest, object_id: str) -> HttpResponseBase | None:
        """Ask whether to have the run asked again, and do."""
        return self._act(request, self.get_queryset(request).filter(pk=object_id), RETRY)

    def has_cancel_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Tell whether the user may cancel runs, and this one can be."""
        return self._may_act(request, CANCEL, object_id)

    def has_retry_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Tell whether the user may have runs asked again, and this one can be."""
        return self._may_act(request, RETRY, object_id)

    def _may_act(self, request: HttpRequest, kind: ActionKind, object_id: Any) -> bool:
        if not (self.has_view_permission(request) and may_write(request, kind.permission)):
            return False
        # On a run's page the button is there while it does something; what was sent is answered in words.
        if object_id is None or request.method == "POST":
            return True
        run = self.get_object(request, object_id)
        return run is not None and run.status in kind.statuses

    def _act(self, request: HttpRequest, runs: QuerySet[Run], kind: ActionKind) -> HttpResponseBase | None:
        if not self._may_act(request, kind, None):
            raise PermissionDenied
        return action_page(request, model_admin=self, runs=runs, kind=kind)

    def _may_read(self, request: HttpRequest, run: Run) -> bool:
        return tenants_of_staff(request).filter(pk=run.tenant_id).exists()


def _is_of_stuck(request: HttpRequest) -> bool:
    return request.GET.get(StateFilter.parameter_name) == STUCK


def _between(start: datetime, end: datetime | None) -> str:
    took = readable_seconds(((end or timezone.now()) - start).total_seconds())
    return took if end else f"{took}…"


def _in_one_line(text: str, *, title: str = "") -> str:
    return format_html('<span class="whitespace-nowrap" title="{}">{}</span>', title, text)
