"""The queue's jobs, with the runs that they carry out."""

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from procrastinate.contrib.django.models import ProcrastinateEvent, ProcrastinateJob
from unfold.admin import ModelAdmin, TabularInline
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display
from unfold.views import ChangeList

from agents.admin.estimated_pages import EstimatingPaginator
from agents.admin.run_figures import readable_seconds, readable_state
from agents.models import Run
from agents.queue_workers import run_id_of
from contexts.admin.scoping import ReadOnlyMixin, sees_every_tenant

# The package's own lets staff do what the runs would not hear of: they are cancelled on their own pages.
admin.site.unregister(ProcrastinateJob)

_COLORS = {
    "todo": "info",
    "doing": "primary",
    "succeeded": "success",
    "failed": "danger",
    "cancelled": "warning",
    "aborted": "warning",
}


class QueueAdmin(ReadOnlyMixin, ModelAdmin):
    """A page of the queue: for operators, as what it shows is of every tenant."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Tell whether the user is an operator who may see the queue."""
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Tell whether the user is an operator who may see the queue."""
        return sees_every_tenant(request) and super().has_view_permission(request, obj)


class JobEventInline(ReadOnlyMixin, TabularInline):
    """What happened to a job."""

    model = ProcrastinateEvent
    fields = readonly_fields = ("type", "at")
    ordering = ("at", "pk")
    verbose_name_plural = "what happened"
    hide_title = True
    extra = 0

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Allow whoever may see the job."""
        return True


class JobChangeList(ChangeList):
    """A page of jobs, each with its `run`."""

    def get_results(self, request: HttpRequest) -> None:
        """Find the page's jobs, and ask for all their runs at once."""
        super().get_results(request)
        jobs: list[Any] = list(self.result_list)  # type: ignore[has-type]
        add_runs(jobs)
        self.result_list = jobs


@admin.register(ProcrastinateJob)
class JobAdmin(QueueAdmin):
    """The jobs that carry runs out, and those of the housekeeping; what was done is not kept."""

    paginator = EstimatingPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_display = ("id", "state", "task", "run", "user", "tenant", "attempts", "worker_link", "changed")
    list_filter = (("status", ChoicesDropdownFilter), "queue_name", "abort_requested")
    list_filter_submit = True
    search_fields = ("id",)
    search_help_text = "A job's or run's id."
    ordering = ("-id",)
    fields = (
        *(
            "id",
            "state_in_words",
            "task",
            "queue_name",
            "run",
            "user",
            "tenant",
            "attempts",
            "abort_requested",
        ),
        *("worker_link", "scheduled_at", "priority", "queueing_lock"),
    )
    readonly_fields = fields
    inlines = (JobEventInline,)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[JobChangeList]:
        """Return the list that knows the jobs' runs."""
        return JobChangeList

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Return a job, with its run."""
        job = super().get_object(request, object_id, from_field)
        if job is not None:
            add_runs([job])
        return job

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the jobs with when they were last changed."""
        changes = ProcrastinateEvent.objects.filter(job=OuterRef("pk")).order_by("-at")
        return super().get_queryset(request).annotate(last_change=Subquery(changes.values("at")[:1]))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Return the jobs with this id, or of the run with it."""
        term = search_term.strip()
        if not term:
            return queryset, False
        if term.isascii() and term.isdecimal() and len(term) < 19:
            return queryset.filter(pk=int(term)), False
        try:
            run_id = UUID(term)
        except ValueError:
            return queryset.none(), False
        return queryset.filter(args__run_id=str(run_id)), False

    @display(description="status", ordering="status", label=_COLORS)
    def state(self, job: Any) -> tuple[str, str]:
        """Return the status, and how to show it."""
        return job.status, readable_state(job)

    @display(description="status")
    def state_in_words(self, job: Any) -> str:
        """Return the status as the job's own page shows it, which knows no labels."""
        return readable_state(job)

    @display(description="task", ordering="task_name")
    def task(self, job: Any) -> str:
        """Return what is done, without the module's name."""
        return format_html('<span title="{}">{}</span>', job.task_name, job.task_name.rpartition(".")[2])

    @display(description="run")
    def run(self, job: Any) -> str:
        """Return the way to the run."""
        return run_link(job.of_run) if job.of_run else "–"

    @display(description="user")
    def user(self, job: Any) -> str:
        """Return whose run it is."""
        return str(job.of_run.user) if job.of_run else "–"

    @display(description="tenant")
    def tenant(self, job: Any) -> str:
        """Return of which tenant the run is."""
        return str(job.of_run.tenant) if job.of_run else "–"

    @display(description="worker", ordering="worker")
    def worker_link(self, job: Any) -> str:
        """Return the way to the worker that has it."""
        if not job.worker_id:
            return "–"
        address = reverse("admin:procrastinate_procrastinateworker_change", args=[job.worker_id])
        return format_html('<a class="text-link" href="{}">{}</a>', address, job.worker_id)

    @display(description="last changed")
    def changed(self, job: Any) -> str:
        """Return how long ago something happened to it."""
        if job.last_change is None:
            return "–"
        return f"{readable_seconds((timezone.now() - job.last_change).total_seconds())} ago"


def add_runs(jobs: list[Any]) -> None:
    """Give each job `of_run`: its run, none of housekeeping, and where it was deleted or is not known."""
    ids = {job.pk: run_id_of(job.args.get("run_id")) for job in jobs if isinstance(job.args, dict)}
    wanted = {run_id for run_id in ids.values() if run_id}
    runs = Run.objects.select_related("user", "tenant").defer("text", "error_message").in_bulk(wanted)
    for job in jobs:
        run_id = ids.get(job.pk)
        job.of_run = runs.get(run_id) if run_id else None


def run_link(run: Run) -> str:
    """Return the way to a run's page."""
    address = reverse("admin:agents_run_change", args=[run.pk])
    return format_html(
        '<a class="text-link whitespace-nowrap" href="{}" title="{}">…{}</a>',
        address,
        run.pk,
        str(run.pk)[-8:],
    )
