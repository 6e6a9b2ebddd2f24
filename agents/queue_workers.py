"""The queue's workers as operators see them: what each does, in which process as far as that is known."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection

from contexts.models import ContextRecord


@dataclass(frozen=True, kw_only=True, slots=True)
class Holder:
    """The process that has taken a run on."""

    host: str
    process_id: int


@dataclass(frozen=True, kw_only=True, slots=True)
class JobUnderWay:
    """A job that a worker does, or was doing when it was lost."""

    job_id: int
    task_name: str
    queue_name: str
    run_id: UUID | None
    since: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueWorker:
    """A worker that is there, or was lost and is not forgotten yet."""

    id: int
    seen_at: datetime
    """Its latest heartbeat (UTC)."""
    silent_s: float
    """Seconds since then."""
    is_live: bool
    jobs: tuple[JobUnderWay, ...]
    holder: Holder | None
    """Its process, as the runs that it has show."""


_WORKERS = """
SELECT id, last_heartbeat, extract(epoch FROM clock_timestamp() - last_heartbeat)::float
FROM procrastinate_workers WHERE %s::bigint[] IS NULL OR id = ANY (%s) ORDER BY id
"""
_JOBS = """
SELECT job.worker_id, job.id, job.task_name, job.queue_name, job.args ->> 'run_id',
    (SELECT max(at) FROM procrastinate_events WHERE job_id = job.id AND type = 'started')
FROM procrastinate_jobs AS job
WHERE job.status = 'doing' AND job.worker_id = ANY (%s) ORDER BY job.id
"""


def queue_workers(ids: Collection[int] | None = None) -> list[QueueWorker]:
    """Return the workers with these ids, or all, the first started first. Needs a system scope."""
    wanted = None if ids is None else list(ids)
    with connection.cursor() as cursor:
        cursor.execute(_WORKERS, [wanted, wanted])
        workers = cursor.fetchall()
        cursor.execute(_JOBS, [[row[0] for row in workers]])
        jobs: dict[int, list[JobUnderWay]] = {}
        for worker_id, job_id, task_name, queue_name, run_id, since in cursor.fetchall():
            job = JobUnderWay(
                job_id=job_id,
                task_name=task_name,
                queue_name=queue_name,
                run_id=run_id_of(run_id),
                since=since,
            )
            jobs.setdefault(worker_id, []).append(job)
    holders = workers_holding([job.run_id for done in jobs.values() for job in done if job.run_id])
    return [
        QueueWorker(
            id=worker_id,
            seen_at=seen_at,
            silent_s=max(0.0, silent_s),
            is_live=silent_s < settings.STALLED_AFTER_SECONDS,
            jobs=tuple(jobs.get(worker_id, ())),
            holder=next(
                (holders[job.run_id] for job in jobs.get(worker_id, ()) if job.run_id in holders), None
            ),
        )
        for worker_id, seen_at, silent_s in workers
    ]


def run_id_of(argument: Any) -> UUID | None:
    """Return the run that a job's argument `run_id` names, none when it is no id."""
    try:
        return UUID(argument) if isinstance(argument, str) else None
    except ValueError:
        return None


def workers_holding(run_ids: Collection[UUID]) -> dict[UUID, Holder]:
    """Return by run the process that took it on last and has not let go of it. Needs a system scope."""
    records = ContextRecord.objects.filter(closed_at=None, operation="run", run_id__in=run_ids)
    return {
        run_id: Holder(host=host, process_id=process_id)
        for run_id, host, process_id in records.order_by("opened_at").values_list(
            "run_id", "host", "process_id"
        )
        if run_id is not None
    }


def worker_name(worker_id: int | None, holder: Holder | None) -> str:
    """Return what to call a worker."""
    name = f"Worker {worker_id}" if worker_id else "A process"
    return f"{name} ({holder.host}, process {holder.process_id})" if holder else name
