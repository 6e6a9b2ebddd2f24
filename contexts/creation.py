"""Making contexts that carry nothing of anybody else."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from uuid import UUID

from contexts.context import UserExecutionContext
from contexts.exceptions import ContextIsolationError, InvalidContextError
from contexts.foreign import find_owned
from contexts.isolation import Breach, OwnershipRegistry
from contexts.models.incidents import BreachKind, Detector
from contexts.validation import METADATA, parse_identifier

Make = Callable[..., UserExecutionContext]
NO_METADATA: Mapping[str, Mapping[str, Any]] = {name: {} for name in METADATA}


class ContextMaker:
    """Makes valid contexts; what belongs to another user is reported as a breach and refused."""

    def __init__(
        self,
        ownership: OwnershipRegistry | None,
        *,
        report: Callable[[Breach], None],
        count_refusal: Callable[[], None],
    ) -> None:
        """Ask `ownership`, if there is one, whose the objects in metadata are."""
        self._ownership = ownership
        self._report = report
        self._count_refusal = count_refusal

    def make_root(self, fields: Mapping[str, Any], **named: Any) -> UserExecutionContext:
        """Make a context of the fields in either.

        Raises:
            TypeError, InvalidContextError, ContextIsolationError: as `UserExecutionContext` does.
        """
        metadata = {name: fields[name] for name in METADATA if name in fields}
        others = {name: value for name, value in fields.items() if name not in metadata}
        make = partial(UserExecutionContext, **named, **others)
        return self._make(make, metadata, owner=(named["user_id"], named["tenant_id"]), parent=None)

    def make_child(
        self, parent: UserExecutionContext, operation: str, **metadata: Mapping[str, Any]
    ) -> UserExecutionContext:
        """Make a child of `parent`; `metadata` are `agent_context` and `audit_metadata`.

        Raises:
            TypeError, InvalidContextError, ContextIsolationError: as `UserExecutionContext.child` does.
        """

        def make(agent_context: Mapping[str, Any], audit_metadata: Mapping[str, Any]) -> UserExecutionContext:
            return parent.child(operation, audit_metadata=audit_metadata, **agent_context)

        return self._make(make, metadata, owner=(parent.user_id, parent.tenant_id), parent=parent)

    def _make(
        self,
        make: Make,
        metadata: Mapping[str, Any],
        *,
        owner: tuple[UUID | str, UUID | str],
        parent: UserExecutionContext | None,
    ) -> UserExecutionContext:
        try:
            if any(metadata.values()):
                self._check_ownership(make, metadata, owner=owner, parent=parent)
            try:
                return make(**metadata)
            except ContextIsolationError as error:
                self._report(_breach((parent or make(**NO_METADATA),), error.details, blocked=True))
                raise
        except (TypeError, InvalidContextError, ContextIsolationError):
            self._count_refusal()
            raise

    def _check_ownership(
        self,
        make: Make,
        metadata: Mapping[str, Any],
        *,
        owner: tuple[UUID | str, UUID | str],
        parent: UserExecutionContext | None,
    ) -> None:
        ownership = self._ownership
        if ownership is None:
            return
        user_id, tenant_id = parse_identifier("user_id", owner[0]), parse_identifier("tenant_id", owner[1])

        def is_foreign(candidate: Any) -> bool:
            holder = ownership.owner_of(candidate)
            return holder is not None and (holder.user_id, holder.tenant_id) != (user_id, tenant_id)

        for name, values in metadata.items():
            found = find_owned(values, is_foreign, path=name)
            holder = ownership.owner_of(found[1]) if found else None
            if found is None or holder is None:
                continue
            details = {"path": found[0], "type": type(found[1]).__name__}
            offender = parent or make(**NO_METADATA)
            self._report(_breach((offender, holder), details, blocked=ownership.strict))
            if ownership.strict:
                raise ContextIsolationError("The context was given something of another user.", **details)


def _breach(
    contexts: tuple[UserExecutionContext, ...], details: Mapping[str, Any], *, blocked: bool
) -> Breach:
    return Breach(
        kind=BreachKind.FOREIGN_OBJECT,
        detector=Detector.ON_CREATION,
        blocked=blocked,
        contexts=contexts,
        details=details,
    )
