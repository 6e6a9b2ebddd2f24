"""The mutable state of one execution context: its own, and gone with it."""

from collections.abc import Iterator
from typing import Any

from contexts.exceptions import ContextClosedError


class ContextState:
    """Named values that live as long as their context and are reachable from no other."""

    __slots__ = ("_closed", "_values")

    def __init__(self) -> None:
        """Start empty and open."""
        self._values: dict[str, Any] = {}
        self._closed = False

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __setitem__(self, name: str, value: Any) -> None:
        if self._closed:
            raise ContextClosedError("The execution context is closed and keeps nothing more.")
        self._values[name] = value

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def get(self, name: str, default: Any = None) -> Any:
        """Return the value kept under `name`, or `default`."""
        return self._values.get(name, default)

    def close(self) -> None:
        """Forget everything and refuse to keep more."""
        self._values.clear()
        self._closed = True
