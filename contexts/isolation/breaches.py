"""What a detector found, as it is counted, recorded and told."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from contexts.context import UserExecutionContext
from contexts.models.incidents import BreachKind, Detector


@dataclass(frozen=True, slots=True)
class Breach:
    """One breach of isolation; ids, names and paths, never content."""

    kind: BreachKind
    """What was found."""
    detector: Detector
    """Which check found it."""
    blocked: bool
    """Whether it was stopped; otherwise the value was copied, or merely found."""
    contexts: tuple[UserExecutionContext, ...]
    """Those involved, the offender first."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """JSON-like."""


Report = Callable[[Breach], None]
"""Takes note of a breach; called in whatever thread found it, with no lock of a detector held."""


def is_same_user(one: UserExecutionContext, other: UserExecutionContext) -> bool:
    """Tell whether both contexts work for the same user of the same tenant."""
    return one is other or (one.user_id == other.user_id and one.tenant_id == other.tenant_id)
