"""Figures and health of a context manager."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from uuid import UUID

from contexts.reports import SecurityReport

FULL = 0.9
"""Share of the contexts a process may open, from which on it counts as full."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ManagerMetrics:
    """What a manager has done since it was made; contexts unless said otherwise."""

    created: int
    """Root contexts opened."""
    children: int
    """Child contexts opened."""
    closed: int
    """Contexts of both kinds closed."""
    active: int
    """Contexts of both kinds open now."""
    peak: int
    """Most contexts open at once."""
    rejected_by_limit: int
    """Not opened, because the user or the process had too many."""
    refused_by_validation: int
    """Not opened, because a field was wrong or something belonged to another user."""
    expired: int
    """Closed because their time to live was over."""
    quarantined: int
    """Stopped after a breach."""
    breaches: int
    """Breaches reported."""
    failed_callbacks: int
    """Callbacks that failed."""
    by_user: Mapping[UUID, int]
    """Root contexts open now, by user."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ManagerHealth:
    """Whether a manager does its work."""

    is_healthy: bool
    reasons: tuple[str, ...]
    """Why it is not healthy, one sentence each."""


def make_metrics(counts: Counter[str], by_user: Mapping[UUID, int], *, active: int) -> ManagerMetrics:
    """Return the metrics of a manager with `active` contexts from its counts by field name."""
    counted = [field.name for field in fields(ManagerMetrics) if field.name not in {"active", "by_user"}]
    return ManagerMetrics(active=active, by_user=by_user, **{name: counts[name] for name in counted})


def judge_health(report: SecurityReport, *, active: int, max_contexts: int) -> ManagerHealth:
    """Return the health of a manager with `active` contexts."""
    counted = {
        "outlived their time": report.expired,
        "lost their parent": report.orphaned,
        "are quarantined and still open": report.quarantined,
        "keep more in their state than they may": report.over_limit,
    }
    reasons = [f"{len(found)} contexts {what}." for what, found in counted.items() if found]
    if active >= FULL * max_contexts:
        reasons.append(f"{active} of at most {max_contexts} contexts are open.")
    return ManagerHealth(is_healthy=not reasons, reasons=tuple(reasons))
