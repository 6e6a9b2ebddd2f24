"""The user execution context: who is asking, for which tenant, in which run, until when."""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from contexts.frozen import freeze, thaw
from contexts.identifiers import new_id
from contexts.state import ContextState
from contexts.validation import validate_user_context


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, weakref_slot=True)
class UserExecutionContext:
    """Everything a piece of work may know about the user it is done for.

    Never changes after creation; `state` is the one mutable thing, and is this context's alone.

    Raises:
        TypeError: when a field has the wrong type.
        InvalidContextError: when an identifier is blank, a placeholder or out of range.
    """

    user_id: UUID
    """Whose work this is."""
    tenant_id: UUID
    """Whose data and quota it uses."""
    role: str
    """The user's role in the tenant: owner, admin, member or viewer."""
    tier: str
    """Slug of the tenant's tier."""
    operation: str
    """What is done, such as `run`, `socket` or `agent.data`."""
    context_id: UUID = field(default_factory=new_id)
    """This context's own identity (UUIDv7)."""
    request_id: UUID = field(default_factory=new_id)
    """The request, frame or step being served."""
    correlation_id: UUID = field(default_factory=new_id)
    """The same for a context and all its descendants."""
    thread_id: UUID | None = None
    """The conversation, if any."""
    run_id: UUID | None = None
    """The run, if any."""
    connection_id: UUID | None = None
    """The socket, if any."""
    depth: int = 0
    """0 for a root, one more for each generation; 10 at most."""
    parent_id: UUID | None = None
    """The context this one was made from."""
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    """When the context was made (UTC)."""
    deadline: datetime | None = None
    """When its work must have ended (UTC)."""
    agent_context: Mapping[str, Any] = field(default_factory=dict)
    """What agents need to know; copied deeply and frozen on the way in."""
    audit_metadata: Mapping[str, Any] = field(default_factory=dict)
    """What the audit needs to know; copied deeply and frozen on the way in."""
    state: ContextState = field(default_factory=ContextState, repr=False)
    """The context's own mutable state."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "agent_context", freeze(self.agent_context))
        object.__setattr__(self, "audit_metadata", freeze(self.audit_metadata))
        validate_user_context(self)

    def child(self, operation: str, **agent_context: Any) -> "UserExecutionContext":
        """Return a context for a part of this work: same user, tenant and run, own state.

        Raises:
            InvalidContextError: when the line of descent would be deeper than 10.
        """
        return replace(
            self,
            operation=operation,
            context_id=new_id(),
            request_id=new_id(),
            depth=self.depth + 1,
            parent_id=self.context_id,
            created_at=datetime.now(UTC),
            agent_context={**self.agent_context, **agent_context},
            state=ContextState(),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the context as JSON-like data, without its state."""
        names = (name for name in self.__dataclass_fields__ if name != "state")
        return {name: thaw(getattr(self, name)) for name in names}


current_context: ContextVar[UserExecutionContext | None] = ContextVar("current_context", default=None)
"""The context that the running task or thread works in, or none."""
