"""The rules every execution context obeys, checked at each creation."""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from uuid import UUID

from contexts.exceptions import ContextIsolationError, InvalidContextError, InvalidIdentifierTypeError
from contexts.foreign import find_foreign
from contexts.lineage import Ancestor
from contexts.preferences import Preferences

if TYPE_CHECKING:
    from contexts.context import UserExecutionContext

MAX_DEPTH = 10
ROLES = frozenset({"owner", "admin", "member", "viewer"})
PLACEHOLDERS = frozenset(
    "registry placeholder default temp none null undefined 0 1 xxx yyy example test demo sample template "
    "mock fake dummy".split()
)
_SHORT = 20
"""A string of fewer characters that begins with a placeholder and `_` is one itself."""
REQUIRED_IDENTIFIERS = ("user_id", "tenant_id", "context_id", "request_id", "correlation_id")
OPTIONAL_IDENTIFIERS = ("thread_id", "run_id", "connection_id", "parent_id")
WORDS = ("operation", "tier", "role")
METADATA = ("agent_context", "audit_metadata")
RESERVED_KEYS = frozenset(
    (*REQUIRED_IDENTIFIERS, *OPTIONAL_IDENTIFIERS, *WORDS, "created_at", "deadline", "depth", "state")
)
_ZERO = UUID(int=0)


def validate_user_context(context: "UserExecutionContext") -> None:
    """Check every field of `context`.

    Raises:
        TypeError: for anything but a context, or when a field has the wrong type.
        InvalidContextError: when an identifier is blank, zero or a placeholder, a value is out of
            range, or metadata use a reserved key.
    """
    from contexts.context import UserExecutionContext  # which validates itself with this

    if not isinstance(context, UserExecutionContext):
        raise TypeError(f"A user execution context is needed, not {type(context).__name__}.")
    for name in REQUIRED_IDENTIFIERS:
        _check_identifier(name, getattr(context, name))
    for name in OPTIONAL_IDENTIFIERS:
        value = getattr(context, name)
        if value is not None:
            _check_identifier(name, value)
    for name in WORDS:
        _check_word(name, getattr(context, name))
    if context.role not in ROLES:
        raise InvalidContextError(f"The role is not one of {', '.join(sorted(ROLES))}.")
    _check_time("created_at", context.created_at)
    if context.deadline is not None:
        _check_time("deadline", context.deadline)
    _check_lineage(context)
    _check_preferences(context.preferences)
    for name in METADATA:
        values = getattr(context, name)
        if type(values) is not MappingProxyType:
            raise TypeError(f"{name} must be frozen.")
        check_reserved_keys(name, values)


def parse_identifier(name: str, value: object) -> UUID:
    """Return the UUID that `value` is or, as a string, holds.

    Raises:
        InvalidIdentifierTypeError: when it is neither a UUID nor a string.
        InvalidContextError: when it is blank, a placeholder, zero or any other string.
    """
    if isinstance(value, str):
        _refuse_placeholder(name, value)
        try:
            value = UUID(value.strip())
        except ValueError:
            raise InvalidContextError(f"{name} is no UUID.") from None
    elif isinstance(value, UUID) and type(value) is not UUID:
        value = UUID(int=value.int)  # drivers have subclasses of their own
    _check_identifier(name, value)
    assert isinstance(value, UUID)
    return value


def check_metadata(name: str, values: object, *, user_id: UUID, tenant_id: UUID) -> None:
    """Check what is given as `agent_context` or `audit_metadata`, before it is copied.

    Raises:
        TypeError: when it is no mapping.
        InvalidContextError: when it uses a reserved key.
        ContextIsolationError: when something in it belongs to another user or tenant.
    """
    if not isinstance(values, Mapping):
        raise TypeError(f"{name} must be a mapping, not {type(values).__name__}.")
    check_reserved_keys(name, values)
    if values and (path := find_foreign(values, user_id=user_id, tenant_id=tenant_id, path=name)):
        raise ContextIsolationError("The context was given something of another user.", path=path)


def check_reserved_keys(name: str, values: Mapping[str, Any]) -> None:
    """Refuse metadata that look as if they were fields of the context.

    Raises:
        InvalidContextError: when a key is reserved.
    """
    if not RESERVED_KEYS.isdisjoint(values):
        taken = ", ".join(sorted(RESERVED_KEYS.intersection(values)))
        raise InvalidContextError(f"{name} may not use the reserved keys {taken}.")


def _check_identifier(name: str, value: object) -> None:
    if type(value) is not UUID:
        raise InvalidIdentifierTypeError(f"{name} must be a UUID, not {type(value).__name__}.")
    if value == _ZERO:
        raise InvalidContextError(f"{name} is the all-zero UUID.")


def _check_word(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, not {type(value).__name__}.")
    _refuse_placeholder(name, value)


def _refuse_placeholder(name: str, value: str) -> None:
    word = value.strip().lower()
    if not word:
        raise InvalidContextError(f"{name} is blank.")
    prefix, underscore, _ = word.partition("_")
    if word in PLACEHOLDERS or (underscore and len(word) < _SHORT and prefix in PLACEHOLDERS):
        raise InvalidContextError(f"{name} is a placeholder.")


def _check_time(name: str, value: object) -> None:
    if not isinstance(value, datetime):
        raise TypeError(f"{name} must be a datetime, not {type(value).__name__}.")
    if value.utcoffset() is None:
        raise InvalidContextError(f"{name} must name its time zone.")


def _check_lineage(context: "UserExecutionContext") -> None:
    if type(context.depth) is not int:
        raise TypeError("The depth of a context is a whole number.")
    if not 0 <= context.depth <= MAX_DEPTH:
        raise InvalidContextError(f"Contexts nest at most {MAX_DEPTH} deep.")
    if type(context.ancestors) is not tuple or any(type(one) is not Ancestor for one in context.ancestors):
        raise TypeError("The ancestors of a context are a tuple of Ancestor.")
    parent_id = context.ancestors[-1].context_id if context.ancestors else None
    if context.depth != len(context.ancestors) or context.parent_id != parent_id:
        raise InvalidContextError("The context's depth and parent are not those of its line of descent.")


def _check_preferences(preferences: object) -> None:
    if not isinstance(preferences, Preferences):
        raise TypeError(f"preferences must be Preferences, not {type(preferences).__name__}.")
    if preferences.agents is not None and type(preferences.agents) is not frozenset:
        raise TypeError("The agents switched on are a frozenset.")
