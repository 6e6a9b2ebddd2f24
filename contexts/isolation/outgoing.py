"""Nothing leaves with an id or a canary of somebody else."""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, NamedTuple
from uuid import UUID

from contexts.context import UserExecutionContext
from contexts.exceptions import ContextIsolationError
from contexts.isolation.breaches import Breach, Report
from contexts.isolation.payloads import hex_runs, identifiers_in, places_of, texts_of
from contexts.models.incidents import BreachKind, Detector

MIN_CANARY = 16
"""Characters; a shorter one might occur by chance."""
REMEMBERED_IDENTIFIERS = 10_000
REMEMBERED_CANARIES = 1_000
DATASETS = "attached_datasets"
"""Key of a context's `agent_context`: the ids of the datasets it works on."""


class Owner(NamedTuple):
    """Whose something is: a user's in a tenant, or all of the tenant's."""

    tenant_id: UUID
    user_id: UUID | None

    def shares_with(self, context: UserExecutionContext) -> bool:
        """Tell whether `context` may send it out."""
        return self.tenant_id == context.tenant_id and self.user_id in (None, context.user_id)


class OutgoingGuard:
    """Knows whose the identifiers and canaries of contexts are; safe to use from threads.

    Threads, runs and datasets outlive the contexts that work on them: the last 10,000 of these are
    remembered after their contexts are forgotten. Canaries show what was kept too long: the last 1,000
    are known, whether their contexts are or not. The first context learnt to have an identifier owns it.
    """

    def __init__(self, report: Report) -> None:
        """Know nothing yet; `report` takes note of a breach."""
        self._report = report
        # Re-entrant, since a collection of garbage may close a context in the midst of it.
        self._lock = threading.RLock()
        self._learnt: set[UUID] = set()
        self._owners: dict[int, Owner] = {}
        self._more_claims: dict[int, int] = {}
        self._remembered: OrderedDict[int, Owner] = OrderedDict()
        self._canaries: tuple[tuple[str, Owner], ...] = ()
        self._allowed: dict[int, str] = {}

    def learn(self, context: UserExecutionContext) -> None:
        """Take note of what `context` owns: its ids are its user's, its datasets its tenant's."""
        with self._lock:
            if context.context_id in self._learnt:
                return
            self._learnt.add(context.context_id)
            for identifier, owner, _ in _identifiers_of(context):
                if identifier in self._owners:
                    self._more_claims[identifier] = self._more_claims.get(identifier, 0) + 1
                else:
                    self._owners[identifier] = self._remembered.pop(identifier, owner)

    def forget(self, context: UserExecutionContext) -> None:
        """Forget what `context` owned, but for what lasts."""
        with self._lock:
            if context.context_id not in self._learnt:
                return
            self._learnt.discard(context.context_id)
            for identifier, _, is_lasting in _identifiers_of(context):
                if claims := self._more_claims.pop(identifier, 0):
                    if claims > 1:
                        self._more_claims[identifier] = claims - 1
                    continue
                owner = self._owners.pop(identifier)
                if is_lasting:
                    self._remembered[identifier] = owner
                self._allowed.pop(identifier, None)
            while len(self._remembered) > REMEMBERED_IDENTIFIERS:
                self._remembered.popitem(last=False)

    def add_canary(self, context: UserExecutionContext, text: str) -> None:
        """Stop `text`, random and planted among the user's data, from reaching anybody else.

        Raises:
            ValueError: when it has fewer than 16 characters.
        """
        if len(text) < MIN_CANARY:
            raise ValueError(f"A canary has at least {MIN_CANARY} characters.")
        with self._lock:
            if all(text != known for known, _ in self._canaries):
                owner = Owner(context.tenant_id, context.user_id)
                self._canaries = (*self._canaries, (text, owner))[-REMEMBERED_CANARIES:]

    def allow(self, context: UserExecutionContext, text: str) -> None:
        """Let `context` and its whole line send out what the user wrote themselves, whosesoever it is.

        The line is what has the context's correlation id. This ends with its last context, and is of no
        effect for a context that was not learnt.
        """
        known = [*hex_runs(text), *(canary for canary, _ in self._canaries if canary in text)]
        with self._lock:
            if known and context.context_id in self._learnt:
                before = self._allowed_of(context)
                self._allowed[context.correlation_id.int] = "\n".join((before, *known))

    def check(self, context: UserExecutionContext, payload: Any) -> None:
        """Refuse a text or JSON-like data that carry an identifier or canary of somebody else.

        Raises:
            ContextIsolationError: when they do.
            RecursionError: when the data contain themselves.
        """
        for owner, found in self._foreign_in(context, payload):
            self._refuse(context, payload, owner, found)

    def foreign_identifiers(self, context: UserExecutionContext, payload: Any) -> set[UUID]:
        """Return the identifiers of somebody else that `check` would refuse, and report nothing."""
        found = [found for _, found in self._foreign_in(context, payload) if isinstance(found, UUID)]
        if not found:
            return set()
        allowed = self._allowed_of(context).lower()
        return {identifier for identifier in found if identifier.hex not in allowed}

    def _foreign_in(self, context: UserExecutionContext, payload: Any) -> Iterator[tuple[Owner, UUID | str]]:
        text = "\n".join([text for text in texts_of(payload) if len(text) >= MIN_CANARY])
        for identifier in identifiers_in(text):
            owner = self._owner_of(identifier)
            if owner is not None and not owner.shares_with(context):
                yield owner, UUID(int=identifier)
        for canary, owner in self._canaries:
            if canary in text and not owner.shares_with(context):
                yield owner, canary

    def _owner_of(self, identifier: int) -> Owner | None:
        owner = self._owners.get(identifier)
        if owner is None and identifier in self._remembered:
            with self._lock:
                owner = self._remembered.get(identifier) or self._owners.get(identifier)
                if identifier in self._remembered:
                    self._remembered.move_to_end(identifier)
        return owner

    def _allowed_of(self, context: UserExecutionContext) -> str:
        line = context.correlation_id.int
        owner = self._owners.get(line)
        return self._allowed.get(line, "") if owner is not None and owner.shares_with(context) else ""

    def _refuse(self, context: UserExecutionContext, payload: Any, owner: Owner, found: UUID | str) -> None:
        allowed = self._allowed_of(context)
        if found in allowed if isinstance(found, str) else found.hex in allowed.lower():
            return
        details: dict[str, Any] = {
            "owner_tenant_id": str(owner.tenant_id),
            "owner_user_id": str(owner.user_id) if owner.user_id else None,
            "path": _place_of(payload, found),
        }
        if isinstance(found, UUID):
            details["identifier"] = str(found)
        kind = BreachKind.FOREIGN_IDENTIFIER if isinstance(found, UUID) else BreachKind.CANARY
        # The owner's contexts did nothing wrong, and may be closed.
        self._report(Breach(kind, Detector.ON_THE_WAY_OUT, True, (context,), details))
        raise ContextIsolationError("Something of another user was about to be sent.")


def _identifiers_of(context: UserExecutionContext) -> list[tuple[int, Owner, bool]]:
    """Return each identifier that a context owns, for whom, and whether it outlives the context."""
    mine = Owner(context.tenant_id, context.user_id)
    ours = Owner(context.tenant_id, None)
    found = [
        (context.context_id.int, mine, False),
        (context.request_id.int, mine, False),
        (context.correlation_id.int, mine, False),
        (context.tenant_id.int, ours, False),
    ]
    if context.connection_id is not None:
        found.append((context.connection_id.int, mine, False))
    if context.thread_id is not None:
        found.append((context.thread_id.int, mine, True))
    if context.run_id is not None:
        found.append((context.run_id.int, mine, True))
    for dataset in context.agent_context.get(DATASETS, ()):
        found += [(identifier, ours, True) for identifier in identifiers_in(str(dataset))]
    return found


def _place_of(payload: Any, found: UUID | str) -> str:
    for path, text in places_of(payload):
        if found in text if isinstance(found, str) else found.int in identifiers_in(text):
            return path
    return "$"
