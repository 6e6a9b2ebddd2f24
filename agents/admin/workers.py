"""The queue's workers: which live, and what each does."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from procrastinate.contrib.django.models import ProcrastinateWorker
from unfold.decorators import display
from unfold.views import ChangeList

from agents.admin.jobs import QueueAdmin
from agents.admin.run_figures import readable_seconds
from agents.queue_workers import JobUnderWay, QueueWorker, queue_workers

_SHOWN_JOBS = 8


class WorkerChangeList(ChangeList):
    """A page of workers, each with `found`: what is known of it now."""

    def get_results(self, request: HttpRequest) -> None:
        """Find the page's workers, and ask for all of them at once."""
        super().get_results(request)
        workers: list[Any] = list(self.result_list)  # type: ignore[has-type]
        add_findings(workers)
        self.result_list = [worker for worker in workers if worker.found is not None]


@admin.register(ProcrastinateWorker)
class WorkerAdmin(QueueAdmin):
    """Workers that are there, or were lost and are not forgotten yet; each start has a new number."""

    list_display = ("id", "state", "heartbeat", "process", "count", "jobs")
    list_display_links = ("id",)
    ordering = ("-last_heartbeat", "id")
    fields = ("id", "state_in_words", "heartbeat", "last_heartbeat", "process", "count", "all_jobs")
    readonly_fields = fields

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[WorkerChangeList]:
        """Return the list that knows what the workers do."""
        return WorkerChangeList

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Return a worker, with what is known of it."""
        worker = super().get_object(request, object_id, from_field)
        if worker is not None:
            add_findings([worker])
        return worker if worker is not None and worker.found is not None else None

    @display(description="state", label={"live": "success", "stalled": "danger"})
    def state(self, worker: Any) -> tuple[str, str]:
        """Return whether it gives signs of life."""
        state = self.state_in_words(worker)
        return state, state

    @display(description="state")
    def state_in_words(self, worker: Any) -> str:
        """Return the state as the worker's own page shows it, which knows no labels."""
        return "live" if worker.found.is_live else "stalled"

    @display(description="last heartbeat", ordering="last_heartbeat")
    def heartbeat(self, worker: Any) -> str:
        """Return how long ago it last gave one."""
        return f"{readable_seconds(worker.found.silent_s)} ago"

    @display(description="process")
    def process(self, worker: Any) -> str:
        """Return its host and process, which the runs that it has show."""
        holder = worker.found.holder
        return f"{holder.host}, process {holder.process_id}" if holder else "not known while it has no run"

    @display(description="jobs under way")
    def count(self, worker: Any) -> int:
        """Return how many jobs it does."""
        return len(worker.found.jobs)

    @display(description="runs")
    def jobs(self, worker: Any) -> str:
        """Return the ways to the first few of its runs."""
        return _links(worker.found, _SHOWN_JOBS)

    @display(description="runs")
    def all_jobs(self, worker: Any) -> str:
        """Return the ways to all of its runs."""
        return _links(worker.found, len(worker.found.jobs))


def add_findings(workers: list[Any]) -> None:
    """Give each worker `found`: what is known of it, none when it is gone."""
    found = {worker.id: worker for worker in queue_workers([worker.pk for worker in workers])}
    for worker in workers:
        worker.found = found.get(worker.pk)


def _links(worker: QueueWorker, most: int) -> str:
    if not worker.jobs:
        return "–"
    shown = format_html_join(" ", "{}", ((_link(job),) for job in worker.jobs[:most]))
    more = len(worker.jobs) - most
    return format_html("{} and {} more", shown, more) if more > 0 else shown


def _link(job: JobUnderWay) -> str:
    if job.run_id is None:
        return job.task_name.rpartition(".")[2]
    address = reverse("admin:agents_run_change", args=[job.run_id])
    return format_html(
        '<a class="text-link whitespace-nowrap" href="{}" title="{}">…{}</a>',
        address,
        job.run_id,
        str(job.run_id)[-8:],
    )
