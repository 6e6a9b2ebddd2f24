"""The rules every execution context obeys, checked at each creation."""

from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from contexts.exceptions import InvalidContextError

if TYPE_CHECKING:
    from contexts.context import UserExecutionContext

MAX_DEPTH = 10
ROLES = frozenset({"owner", "admin", "member", "viewer"})
PLACEHOLDERS = frozenset(
    "registry placeholder default temp none null undefined 0 1 xxx yyy example test demo sample template "
    "mock fake dummy".split()
)
_REQUIRED = ("user_id", "tenant_id", "context_id", "request_id", "correlation_id")
_OPTIONAL = ("thread_id", "run_id", "connection_id", "parent_id")


def validate_user_context(context: "UserExecutionContext") -> None:
    """Check the identifiers and bounds of `context`.

    Raises:
        TypeError: when a field has the wrong type.
        InvalidContextError: when an identifier is blank, zero, a placeholder or out of range.
    """
    for name in _REQUIRED:
        _check_identifier(name, getattr(context, name))
    for name in _OPTIONAL:
        value = getattr(context, name)
        if value is not None:
            _check_identifier(name, value)
    for name in ("operation", "tier", "role"):
        _check_word(name, getattr(context, name))
    if context.role not in ROLES:
        raise InvalidContextError(f"The role {context.role!r} is not one of {', '.join(sorted(ROLES))}.")
    if type(context.depth) is not int:
        raise TypeError("The depth of a context is a whole number.")
    if not 0 <= context.depth <= MAX_DEPTH:
        raise InvalidContextError(f"Contexts nest at most {MAX_DEPTH} deep.")
    for name in ("created_at", "deadline"):
        _check_time(name, getattr(context, name))


def _check_identifier(name: str, value: object) -> None:
    if not isinstance(value, UUID):
        raise TypeError(f"{name} must be a UUID, not {type(value).__name__}.")
    if value.int == 0:
        raise InvalidContextError(f"{name} is the all-zero UUID.")


def _check_word(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, not {type(value).__name__}.")
    word = value.strip().lower()
    if not word:
        raise InvalidContextError(f"{name} is blank.")
    if word in PLACEHOLDERS or (len(word) < 20 and word.split("_")[0] in PLACEHOLDERS and "_" in word):
        raise InvalidContextError(f"{name} is a placeholder.")


def _check_time(name: str, value: datetime | None) -> None:
    if value is None:
        return
    if not isinstance(value, datetime):
        raise TypeError(f"{name} must be a datetime, not {type(value).__name__}.")
    if value.tzinfo is None:
        raise InvalidContextError(f"{name} must name its time zone.")
