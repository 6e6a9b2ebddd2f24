"""Whose each mutable object in the contexts' states is, checked on every write."""

import copy
import threading
from collections.abc import Callable, Iterable
from sys import getsizeof
from typing import Any

from contexts.context import UserExecutionContext
from contexts.exceptions import ContextIsolationError
from contexts.isolation.breaches import Breach, Report, is_same_user
from contexts.isolation.paths import path_to
from contexts.isolation.reach import Reach, reach, size_of
from contexts.isolation.sharing import DATA
from contexts.labels import label
from contexts.models.incidents import BreachKind, Detector

LIMIT = 10_000
"""Objects walked on a write; what lies beyond is left to `find_shared`."""


class OwnershipRegistry:
    """Remembers which user's contexts own which mutable objects; safe to use from threads.

    Contexts of the same user of the same tenant may share. Objects are kept alive until each context
    that claimed them has released them, since the id of a freed object may become another's. Of a
    value that leads to more than 10,000 objects only the nearest are claimed; `find_shared` sees to
    the rest, and to what is put into a claimed object later.
    """

    def __init__(self, strict: bool, report: Report) -> None:
        """Refuse what another user owns when `strict`, else copy it; `report` takes note of either."""
        self.strict = strict
        self._report = report
        # Re-entrant, since a collection of garbage may close a context in the midst of it.
        self._lock = threading.RLock()
        self._holders: dict[int, list[UserExecutionContext]] = {}
        self._claims: dict[UserExecutionContext, dict[str, list[Any]]] = {}

    def claim(
        self,
        context: UserExecutionContext,
        name: str,
        value: Any,
        *,
        check_size: Callable[[int], None] | None = None,
    ) -> tuple[Any, int]:
        """Let `context` own all that can change in `value`, in place of what it kept under `name`.

        Returns the value to keep, which is a deep copy if another user owns some of it and the
        registry is not strict, and about how many bytes it takes: exactly what `check_size` was called
        with, which may refuse it before anything is changed.

        Raises:
            ContextIsolationError: when another user owns some of it, and it is not or cannot be copied.
        """
        if type(value) in DATA:
            size = getsizeof(value)
            if check_size is not None:
                check_size(size)
            if name in self._claims.get(context, ()):
                self.release(context, name)
            return value, size
        found = reach(value, limit=LIMIT)
        size = found.size
        if check_size is not None:
            if not found.is_complete:
                size = size_of(value)
            check_size(size)
        if owners := self._take(context, name, found):
            value = self._settle(context, name, value, found, owners)
        return value, size

    def release(self, context: UserExecutionContext, name: str) -> None:
        """Give up what `context` keeps under `name`."""
        with self._lock:
            claims = self._claims.get(context, {})
            things = claims.pop(name, ())
            if not claims:
                self._claims.pop(context, None)
            self._let_go(context, things)
        del things

    def release_all(self, context: UserExecutionContext) -> None:
        """Give up everything that `context` keeps."""
        with self._lock:
            claims = self._claims.pop(context, {})
            for things in claims.values():
                self._let_go(context, things)
        del claims

    def owner_of(self, thing: Any) -> UserExecutionContext | None:
        """Return the context that first claimed `thing` and keeps it still, if any."""
        with self._lock:
            holders = self._holders.get(id(thing))
            return holders[0] if holders else None

    def _take(self, context: UserExecutionContext, name: str, found: Reach) -> list[UserExecutionContext]:
        """Claim what was found, or return the contexts of others that own some of it."""
        owners: list[UserExecutionContext] = []
        if found.contexts:
            owners = [other for other in found.contexts if not is_same_user(context, other)]
        before: Iterable[Any] = ()
        with self._lock:
            holders = self._holders
            for thing in found.owned:
                held = holders.get(id(thing))
                if held is not None and not is_same_user(context, held[0]):
                    owners += held
            if owners:
                return list(dict.fromkeys(owners))
            for thing in found.owned:
                held = holders.get(id(thing))
                if held is None:
                    holders[id(thing)] = [context]
                else:
                    held.append(context)
            claims = self._claims.setdefault(context, {})
            before = claims.pop(name, ())
            self._let_go(context, before)
            if found.owned:
                claims[name] = found.owned
            elif not claims:
                del self._claims[context]
        # What is freed here may call back, which it does after the lock is given up.
        del before
        return owners

    def _let_go(self, context: UserExecutionContext, things: Iterable[Any]) -> None:
        for thing in things:
            held = self._holders[id(thing)]
            held.remove(context)
            if not held:
                del self._holders[id(thing)]

    def _settle(
        self,
        context: UserExecutionContext,
        name: str,
        value: Any,
        found: Reach,
        owners: list[UserExecutionContext],
    ) -> Any:
        kind, details = self._describe(context, name, value, found)
        copied = None
        if not self.strict:
            try:
                copied = copy.deepcopy(value)
            except Exception as error:  # noqa: BLE001 - told in the breach, and refused below
                details["not_copied"] = type(error).__name__
            else:
                found = reach(copied, limit=LIMIT)
                if self._take(context, name, found):
                    details["not_copied"] = "the copy leads there too"
        is_blocked = self.strict or "not_copied" in details
        self._report(Breach(kind, Detector.ON_WRITE, is_blocked, (context, *owners), details))
        if is_blocked:
            raise ContextIsolationError("The value leads to something that belongs to another user.")
        return copied

    def _describe(
        self, context: UserExecutionContext, name: str, value: Any, found: Reach
    ) -> tuple[BreachKind, dict[str, Any]]:
        start = f"state[{label(name)}]"
        for other in found.contexts:
            if not is_same_user(context, other):
                return BreachKind.FOREIGN_OBJECT, {
                    "type": type(other).__name__,
                    "path": path_to(other, value, start, limit=LIMIT),
                }
        for thing in found.owned:
            owner = self.owner_of(thing)
            if owner is not None and not is_same_user(context, owner):
                return BreachKind.SHARED_OBJECT, {
                    "type": type(thing).__name__,
                    "path": path_to(thing, value, start, limit=LIMIT),
                    "owner_path": self._path_from(owner, thing),
                }
        # Its owner has released it in the meantime.
        return BreachKind.SHARED_OBJECT, {"type": type(value).__name__, "path": start}

    def _path_from(self, owner: UserExecutionContext, thing: Any) -> str:
        with self._lock:
            claims = list(self._claims.get(owner, {}).items())
        for name, things in claims:
            if any(claimed is thing for claimed in things):
                start = f"state[{label(name)}]"
                return path_to(thing, owner.state.get(name), start, limit=LIMIT)
        return "state"
