"""The mutable state of one execution context: its own, and gone with it."""

import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from contexts.exceptions import ContextClosedError, QuarantinedError, QuotaExceededError
from contexts.resources import Resource

if TYPE_CHECKING:
    from contexts.context import UserExecutionContext
    from contexts.isolation import OwnershipRegistry


class ContextState:
    """Named values that live as long as their context and are reachable from no other user's.

    Safe to use from threads. Once bound to a registry, each value written is owned by the context, and
    one that another user's context owns is refused (or copied, as the registry is set).
    """

    __slots__ = (
        *("_context", "_is_closed", "_limit", "_lock", "_measure", "_quarantine"),
        *("_registry", "_sizes", "_values"),
    )

    def __init__(self) -> None:
        """Start empty, open and bound to no registry."""
        self._values: dict[str, Any] = {}
        self._sizes: dict[str, int] = {}
        self._lock = threading.RLock()
        self._registry: OwnershipRegistry | None = None
        self._context: UserExecutionContext | None = None
        self._quarantine: str | None = None
        self._limit: int | None = None
        self._measure: Callable[[Any], int] | None = None
        self._is_closed = False

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __setitem__(self, name: str, value: Any) -> None:
        """Keep `value` under `name`.

        Raises:
            ContextClosedError, QuarantinedError: when the context takes nothing more.
            ContextIsolationError: when the value reaches something of another user.
            QuotaExceededError: when all values together would take more memory than they may.
        """
        with self._lock:
            self.check_open()
            if self._registry is not None and self._context is not None:
                check = None if self._limit is None else partial(self._check_size, name)
                value, self._sizes[name] = self._registry.claim(self._context, name, value, check_size=check)
            elif self._measure is not None:
                size = self._measure(value)
                self._check_size(name, size)
                self._sizes[name] = size
            self._values[name] = value

    def __delitem__(self, name: str) -> None:
        with self._lock:
            self.check_open()
            del self._values[name]
            self._sizes.pop(name, None)
            if self._registry is not None and self._context is not None:
                self._registry.release(self._context, name)

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._values))

    def __len__(self) -> int:
        return len(self._values)

    def get(self, name: str, default: Any = None) -> Any:
        """Return the value kept under `name`, or `default`."""
        return self._values.get(name, default)

    @property
    def memory_bytes(self) -> int:
        """Return about how many bytes the values took when they were written."""
        with self._lock:
            return sum(self._sizes.values())

    @property
    def memory_limit(self) -> int | None:
        """Return how many bytes the values may take together; none: as many as they like."""
        return self._limit

    def limit_memory(self, limit_bytes: int, *, measure: Callable[[Any], int]) -> None:
        """Refuse what would take the values over `limit_bytes`; `measure` tells a value's size in bytes.

        What is put into a value that is kept already is not measured again.
        """
        with self._lock:
            self._limit, self._measure = limit_bytes, measure

    @property
    def is_closed(self) -> bool:
        """Tell whether the context has ended."""
        return self._is_closed

    @property
    def is_quarantined(self) -> bool:
        """Tell whether the context was stopped after a breach."""
        return self._quarantine is not None

    def check_open(self) -> None:
        """Refuse when the context has ended or was stopped.

        Raises:
            ContextClosedError: when it is closed.
            QuarantinedError: when it is quarantined.
        """
        if self._is_closed:
            raise ContextClosedError("The execution context is closed.")
        if self._quarantine is not None:
            raise QuarantinedError("The execution context was stopped after an isolation breach.")

    def bind(self, registry: "OwnershipRegistry", context: "UserExecutionContext") -> None:
        """Have `registry` own for `context` what is kept from now on.

        Raises:
            ContextClosedError: when it is closed.
            RuntimeError: when it is bound already, or holds values.
        """
        with self._lock:
            if self._is_closed:
                raise ContextClosedError("The execution context is closed.")
            if self._registry is not None or self._values:
                raise RuntimeError("A state is bound once, before anything is kept in it.")
            self._registry, self._context = registry, context

    def quarantine(self, reason: str) -> bool:
        """Refuse every write from now on; return whether it was not quarantined before."""
        was_open = self._quarantine is None
        self._quarantine = self._quarantine or reason
        return was_open

    def close(self) -> None:
        """Forget everything and refuse to keep more."""
        with self._lock:
            self._is_closed = True
            self._values.clear()
            self._sizes.clear()
            registry, context = self._registry, self._context
            self._registry = self._context = None
        if registry is not None and context is not None:
            registry.release_all(context)

    def _check_size(self, name: str, size: int) -> None:
        others = sum(self._sizes.values()) - self._sizes.get(name, 0)
        if self._limit is not None and others + size > self._limit:
            raise QuotaExceededError(
                f"What the run keeps would take more memory than the {self._limit:,} bytes that it may use.",
                resource=Resource.MEMORY_BYTES,
                limit=self._limit,
                used=others,
                resets_at=None,
            )
