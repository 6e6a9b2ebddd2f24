"""Keys of data as paths show them: enough to find the place, nothing of the content."""

import re
from uuid import UUID

# Names as programs give them; what looks like a token, an address or a sentence is not shown.
_NAME = re.compile(r"[A-Za-z_]{1,40}[0-9]{0,3}")


def is_name(text: str) -> bool:
    """Tell whether `text` looks like a name that a program gave."""
    return _NAME.fullmatch(text) is not None


def label(key: object) -> str:
    """Return how a key is shown in a path: names, whole numbers and ids as they are, others as `…`."""
    if isinstance(key, str) and is_name(key):
        return repr(str(key))
    if type(key) is int or isinstance(key, UUID):
        return str(key)
    return "…"
