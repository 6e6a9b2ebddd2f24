"""The user execution context: who is asking, for which tenant, in which run, until when."""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from contexts.frozen import EMPTY, freeze, thaw
from contexts.identifiers import new_id
from contexts.lineage import Ancestor
from contexts.preferences import DEFAULT_PREFERENCES, Preferences
from contexts.redaction import redact
from contexts.state import ContextState
from contexts.validation import (
    METADATA,
    OPTIONAL_IDENTIFIERS,
    REQUIRED_IDENTIFIERS,
    WORDS,
    check_metadata,
    parse_identifier,
    validate_user_context,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, weakref_slot=True)
class UserExecutionContext:
    """Everything a piece of work may know about the user it is done for.

    Never changes after creation; `state` is the one mutable thing, and is this context's alone: a copy
    made with `dataclasses.replace` has an empty one of its own. Identifiers may be given as strings
    that hold a UUID.

    Raises:
        TypeError: when a field has the wrong type.
        InvalidContextError: when an identifier is blank, zero or a placeholder, a value is out of
            range, or metadata use a reserved key.
        ContextIsolationError: when metadata hold something that belongs to another user.
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
    preferences: Preferences = field(default=DEFAULT_PREFERENCES, repr=False)
    """How the work is to be done, as tier, tenant and user state; children inherit it."""
    agent_context: Mapping[str, Any] = field(default_factory=lambda: EMPTY, repr=False)
    """What agents need to know; copied deeply and frozen on the way in."""
    audit_metadata: Mapping[str, Any] = field(default_factory=lambda: EMPTY, repr=False)
    """What the audit needs to know; copied deeply and frozen on the way in."""
    ancestors: tuple[Ancestor, ...] = field(default=(), repr=False)
    """The line of descent, root first; only `child` makes one."""
    state: ContextState = field(default_factory=ContextState, init=False, repr=False)
    """The context's own mutable state."""

    def __post_init__(self) -> None:
        self._settle_identifiers()
        self._settle_values()
        validate_user_context(self)

    def child(
        self, operation: str, *, audit_metadata: Mapping[str, Any] | None = None, **agent_context: Any
    ) -> "UserExecutionContext":
        """Return a context for a part of this work: same user, tenant and run, own state.

        What is given is added to the parent's metadata, and wins over it.

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
            agent_context={**self.agent_context, **agent_context} if agent_context else self.agent_context,
            audit_metadata={**self.audit_metadata, **audit_metadata}
            if audit_metadata
            else self.audit_metadata,
            ancestors=(*self.ancestors, self._as_ancestor()),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the context as JSON-like data: without its state, secrets redacted by their names."""
        names = (
            name for name in self.__dataclass_fields__ if name not in {"state", "ancestors", "preferences"}
        )
        data: dict[str, Any] = redact({name: thaw(getattr(self, name)) for name in names})
        chosen = self.preferences
        data["preferences"] = {
            "model": chosen.model,
            "language": chosen.language,
            "time_zone": chosen.time_zone,
            "agents": None if chosen.agents is None else sorted(chosen.agents),
        }
        return data

    def audit_trail(self) -> list[dict[str, Any]]:
        """Return the line of descent as JSON-like data, the root first and this context last."""
        shared = ("user_id", "tenant_id", "thread_id", "run_id", "connection_id", "correlation_id")
        same_for_all = {name: thaw(getattr(self, name)) for name in shared}
        line = (*self.ancestors, self._as_ancestor())
        return [
            {
                "context_id": str(member.context_id),
                "parent_id": str(line[depth - 1].context_id) if depth else None,
                "request_id": str(member.request_id),
                "operation": member.operation,
                "depth": depth,
                "created_at": member.created_at.isoformat(),
                **same_for_all,
            }
            for depth, member in enumerate(line)
        ]

    def _as_ancestor(self) -> Ancestor:
        return Ancestor(
            context_id=self.context_id,
            request_id=self.request_id,
            operation=self.operation,
            created_at=self.created_at,
        )

    def _settle_identifiers(self) -> None:
        for name in REQUIRED_IDENTIFIERS:
            value = getattr(self, name)
            if type(value) is not UUID:
                object.__setattr__(self, name, parse_identifier(name, value))
        for name in OPTIONAL_IDENTIFIERS:
            value = getattr(self, name)
            if value is not None and type(value) is not UUID:
                object.__setattr__(self, name, parse_identifier(name, value))

    def _settle_values(self) -> None:
        for name in WORDS:
            value = getattr(self, name)
            if isinstance(value, str) and type(value) is not str:
                object.__setattr__(self, name, str.__str__(value))
        for name in METADATA:
            values = getattr(self, name)
            check_metadata(name, values, user_id=self.user_id, tenant_id=self.tenant_id)
            object.__setattr__(self, name, freeze(values))


current_context: ContextVar[UserExecutionContext | None] = ContextVar("current_context", default=None)
"""The context that the running task or thread works in, or none."""
