"""Contexts without a manager, and a list of the breaches that a detector reports."""

from typing import Any
from uuid import UUID

from contexts.context import UserExecutionContext
from contexts.identifiers import new_id
from contexts.isolation import Breach, OwnershipRegistry


def open_context(
    *, user_id: UUID | None = None, tenant_id: UUID | None = None, **fields: Any
) -> UserExecutionContext:
    """Return the context of a user, a new one of a new tenant unless named."""
    return UserExecutionContext(
        user_id=user_id or new_id(),
        tenant_id=tenant_id or new_id(),
        role="member",
        tier="free",
        operation="work",
        **fields,
    )


class Ownership(OwnershipRegistry):
    """A registry that keeps the breaches it reports, and opens contexts bound to it."""

    def __init__(self, *, strict: bool = True) -> None:
        self.breaches: list[Breach] = []
        super().__init__(strict, self.breaches.append)

    def open(self, **fields: Any) -> UserExecutionContext:
        """Return a new context whose state this registry watches."""
        context = open_context(**fields)
        context.state.bind(self, context)
        return context
