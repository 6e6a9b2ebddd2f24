"""Identifiers of everything Netra stores: time-ordered UUIDs."""

from uuid import UUID

import uuid_utils.compat


def new_id() -> UUID:
    """Return a new UUIDv7 (RFC 9562): ordered by time, 74 bits of it random."""
    return uuid_utils.compat.uuid7()
