"""What a run's page says about how it went: bars in time, each event, its job, and what it has saved."""

import json
from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from procrastinate.contrib.django.models import ProcrastinateJob

from agents.admin.run_figures import readable_seconds, readable_state
from agents.events import TERMINAL_TYPES
from agents.models import Run, RunEvent, RunStep
from agents.models.runs import OPEN_STATUSES
from agents.queue_workers import worker_name, workers_holding
from agents.stuck_runs import StuckRun, stuck_runs
from agents.timeline import MAX_EVENTS, Kind, Moment, Stretch, Timeline, timeline_of
from contexts.admin.amounts import readable
from contexts.models import Resource

Shown = dict[str, Any]

_SHOWN_CHARACTERS = 600
_MOST_STEPS = 200
_COLORS = {
    Kind.WAITING: "bg-base-400",
    Kind.AGENT: "bg-primary-600",
    Kind.TOOL: "bg-green-600",
    Kind.LOST: "bg-orange-500",
}
_KINDS = {
    Kind.WAITING: "Waiting",
    Kind.AGENT: "Agent",
    Kind.TOOL: "Tool",
    Kind.LOST: "Lost before",
}
_FAILED = "bg-red-500"
_LEGEND = [
    *({"name": name, "color": _COLORS[kind]} for kind, name in _KINDS.items() if kind is not Kind.LOST),
    {"name": "Lost between attempts", "color": _COLORS[Kind.LOST]},
    {"name": "Failed", "color": _FAILED},
]


def run_panel(run: Run, *, request: HttpRequest, may_read: bool, now: datetime) -> Shown:
    """Return what the template `panel.html` shows; content only to whoever `may_read` it."""
    timeline = timeline_of(run, now=now)
    is_open = run.status in OPEN_STATUSES
    contents = _contents(run, timeline, may_read=may_read)
    stuck = next((each for each in stuck_runs() if each.run_id == run.pk), None) if is_open else None
    return {
        "facts": _facts(run, timeline, is_open=is_open),
        "stuck": stuck and _stuck(stuck),
        "error": _error(run, may_read=may_read),
        "legend": _LEGEND,
        "ruler": [readable_seconds(timeline.total_s * part / 4) for part in range(5)],
        "bars": [_bar(stretch, timeline.total_s) for stretch in timeline.stretches],
        "moments": [
            _moment(moment, content) for moment, content in zip(timeline.moments, contents, strict=True)
        ],
        "is_cut": timeline.is_cut,
        "most": MAX_EVENTS,
        "may_read": may_read,
        "job": _job(run, request) if is_open else None,
        "steps": _steps(run, may_read=may_read),
        "audit": _audit_address(run, request),
    }


def _facts(run: Run, timeline: Timeline, *, is_open: bool) -> list[tuple[str, str]]:
    lost = sum(stretch.seconds for stretch in timeline.stretches if stretch.kind is Kind.LOST)
    given_back = f", {run.hand_backs} given back" if run.hand_backs else ""
    facts = [
        ("Status", f"{run.get_status_display()}, {readable_seconds(timeline.total_s)}{' so far' * is_open}"),
        ("Attempts", f"{run.attempt}{given_back}"),
        ("Lost between attempts", readable_seconds(lost) if lost else "–"),
        ("Tokens", f"{run.input_tokens:,} in, {run.output_tokens:,} out"),
        ("Cost", readable(Resource.COST_USD, run.cost_usd)),
        ("Model", run.model or "–"),
    ]
    if run.cancel_requested_at is not None:
        by = run.cancel_requested_by or "user"
        facts.append(("Cancelled by", f"{by.replace('_', '-')}, {run.cancel_requested_at:%H:%M:%S} UTC"))
    return facts


def _stuck(stuck: StuckRun) -> Shown:
    return {"why": stuck.why, "remedy": stuck.remedy, "since": stuck.since}


def _error(run: Run, *, may_read: bool) -> str:
    if not run.error_code:
        return ""
    return f"{run.error_code}: {run.error_message}" if may_read and run.error_message else run.error_code


def _bar(stretch: Stretch, total_s: float) -> Shown:
    whole = total_s or 1.0
    left = min(100.0, 100 * stretch.start_s / whole)
    took = readable_seconds(stretch.seconds)
    return {
        "kind": stretch.kind.value,
        "label": _KINDS[stretch.kind],
        "name": stretch.name,
        "attempt": stretch.attempt if stretch.attempt > 1 and stretch.kind is not Kind.LOST else None,
        "took": took if stretch.has_ended else f"{took}, not ended",
        "begins": readable_seconds(stretch.start_s),
        "left": f"{left:.2f}",
        "width": f"{max(0.3, min(100 - left, 100 * stretch.seconds / whole)):.2f}",
        "color": _FAILED if stretch.has_failed else _COLORS[stretch.kind],
        "is_open": not stretch.has_ended,
    }


def _moment(moment: Moment, content: str) -> Shown:
    return {
        "seq": moment.seq,
        "type": moment.type,
        "agent_name": moment.agent_name,
        "subject": moment.subject,
        "at": moment.created_at,
        "offset": readable_seconds(moment.offset_s),
        "until_next": "" if moment.type in TERMINAL_TYPES else readable_seconds(moment.until_next_s),
        "is_attempt": moment.type == "run_resumed",
        "is_failure": moment.type == "run_failed",
        "content": content,
    }


def _contents(run: Run, timeline: Timeline, *, may_read: bool) -> list[str]:
    """Return the beginning of each event's data; of what may not be read, nothing."""
    if not may_read:
        return [""] * len(timeline.moments)
    rows = RunEvent.objects.filter(run_id=run.pk).order_by("seq").values_list("data", flat=True)
    texts = (json.dumps(data, ensure_ascii=False) for data in rows[: len(timeline.moments)])
    found = [text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…" for text in texts]
    return found + [""] * (len(timeline.moments) - len(found))


def _job(run: Run, request: HttpRequest) -> Shown:
    if run.job_id is None:
        return {"state": "None: it waits for a place."}
    job = ProcrastinateJob.objects.select_related("worker").filter(pk=run.job_id).first()
    if job is None:
        return {"state": f"Job {run.job_id} is not in the queue any more."}
    held = workers_holding([run.pk]).get(run.pk)
    return {
        "state": f"Job {job.pk}: {readable_state(job)}",
        "address": reverse("admin:procrastinate_procrastinatejob_change", args=[job.pk])
        if request.user.has_perm("procrastinate.view_procrastinatejob")
        else None,
        "attempts": job.attempts,
        "worker": worker_name(job.worker_id, held) if job.worker_id or held else None,
        "heartbeat": job.worker.last_heartbeat if job.worker else None,
        "events": list(job.procrastinateevent_set.order_by("at", "pk").values("type", "at")),
    }


def _steps(run: Run, *, may_read: bool) -> list[Shown]:
    """Return the names of what is saved; those of calls are the model's own, and so are content."""
    rows = RunStep.objects.filter(run_id=run.pk).order_by("created_at", "name")
    return [
        {**row, "name": row["name"] if may_read or not row["name"].startswith("call.") else "call"}
        for row in rows.values("name", "attempt", "created_at")[:_MOST_STEPS]
    ]


def _audit_address(run: Run, request: HttpRequest) -> str | None:
    if not request.user.has_perm("contexts.view_auditentry"):
        return None
    return f"{reverse('admin:contexts_auditentry_changelist')}?q={run.pk}"
