"""The line of descent of a context."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Ancestor:
    """What a context keeps of one that it descends from."""

    context_id: UUID
    request_id: UUID
    operation: str
    created_at: datetime
