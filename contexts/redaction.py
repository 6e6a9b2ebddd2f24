"""Which names hold secrets, and plain data without them."""

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

REDACTED = "[redacted]"

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SECRET_ENDS = (
    *("password", "passwords", "passwd", "passphrase", "secret", "secrets", "token", "apikey", "apikeys"),
    *("credential", "credentials", "authorization", "bearer", "cookie", "cookies", "jwt"),
)
_KEY_KINDS = frozenset({"api", "private", "access", "signing", "encryption", "session"})


def is_secret_name(name: str, value: object = None) -> bool:
    """Tell whether `name`, in whatever spelling, names a secret; a number of `tokens` is none."""
    words = [word.lower() for word in _WORD.findall(name)]
    if any(word.endswith(_SECRET_ENDS) for word in words):
        return True
    if any(word.endswith("tokens") for word in words):
        return not isinstance(value, (int, float))
    return any(kind in _KEY_KINDS and word in {"key", "keys"} for kind, word in pairwise(words))


def redact(data: Any) -> Any:
    """Return JSON-like `data` with `[redacted]` in place of each value whose name looks secret."""
    if isinstance(data, Mapping):
        return {
            name: REDACTED if is_secret_name(name, value) else redact(value) for name, value in data.items()
        }
    return [redact(item) for item in data] if isinstance(data, list) else data
