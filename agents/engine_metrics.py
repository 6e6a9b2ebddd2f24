"""What an engine factory has done so far."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineMetrics:
    """Counts since the factory was made."""

    created: int
    """Engines made."""
    cleaned: int
    """Engines closed, by whomever."""
    active: int
    """Engines made and not closed."""
    rejected_by_limit: int
    """Engines refused because their user had as many as they may have."""
    creation_errors: int
    """Engines that could not be made because something they need failed."""
    cleanup_errors: int
    """Engines that failed while they were closed; they are gone all the same."""
    timeouts: int
    """Engines whose run took longer than its tier allows."""
    idle_closed: int
    """Engines closed because they did nothing."""
