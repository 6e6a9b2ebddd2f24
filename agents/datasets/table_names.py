"""SQL names for datasets that a person or a model can type without quotes."""

import re
import unicodedata
from collections.abc import Collection

_LENGTH_LIMIT = 48


def make_table_name(name: str, *, taken: Collection[str]) -> str:
    """Make an SQL identifier of `name`: lower-case ASCII letters, digits and underscores, none of `taken`."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^a-z0-9]+", "_", ascii_name.lower()).strip("_")[:_LENGTH_LIMIT].strip("_")
    if not slug or not slug[0].isalpha():
        slug = f"log_{slug}".rstrip("_")
    candidate, number = slug, 1
    while candidate in taken:
        number += 1
        candidate = f"{slug}_{number}"
    return candidate
