"""Times, and the states of jobs, as people read them."""

from procrastinate.contrib.django.models import ProcrastinateJob

_OPEN_JOBS = ("todo", "doing")


def readable_seconds(seconds: float) -> str:
    """Return a time with its unit, shortened as people read it."""
    if seconds < 0.9995:
        return f"{max(0.0, seconds) * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3_600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86_400:
        return f"{whole // 3_600} h {whole % 3_600 // 60} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3_600} h"


def readable_state(job: ProcrastinateJob) -> str:
    """Return a job's status, and whether it is open and will be aborted."""
    return f"{job.status}, to be aborted" if job.abort_requested and job.status in _OPEN_JOBS else job.status
