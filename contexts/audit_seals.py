"""How an entry of the audit is sealed, and what can be wrong with a sealed one."""

import hashlib
import json
from enum import StrEnum
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

INSTALLATION = UUID(int=0)
"""The chain of the entries that belong to no tenant."""
ERASURE = "audit_erased"
"""The action of an entry that tells which entries' details were erased."""
ERASED = '{"erased": true}'
"""What stands, as JSON, in place of details that were erased."""

_ARRAY = """jsonb_build_array(
    entry.id, entry.tenant_id, entry.user_id, entry.action, entry.context_id, entry.run_id,
    entry.request_id, {details}, extract(epoch FROM entry.created_at))::text"""
# Written out here, not called in the database: who may change the entries might change a function there.
# An entry from before there were digests is sealed over its details themselves.
_DETAILS = "coalesce(to_jsonb(encode(entry.details_digest, 'hex')), entry.details)"
_CANONICAL_TEXT = f"CASE WHEN entry.id IS NOT NULL THEN {_ARRAY.format(details=_DETAILS)} END"
SEALED_COLUMNS = (
    f"{_CANONICAL_TEXT}, entry.details::text, entry.details_salt, entry.details_digest, entry.erased_in"
)
"""What `SealedEntry` is made of, in SQL, where the entry is named `entry`."""
TEXT_LEFT = _ARRAY.format(details=f"'{ERASED}'::jsonb")
"""The canonical text of an entry from before there were digests, once its details are erased, in SQL."""

_TOLD = """
SELECT details::text FROM contexts_auditentry
WHERE id = %s AND action = %s AND tenant_id IS NOT DISTINCT FROM %s
"""


class Fault(StrEnum):
    """What is wrong with a link."""

    ENTRY_CHANGED = "entry_changed"
    ENTRY_MISSING = "entry_missing"
    ENTRY_WITHOUT_LINK = "entry_without_link"
    LINK_MISSING = "link_missing"
    NUMBER_GAP = "number_gap"
    HEAD_DIFFERS = "head_differs"
    HEAD_MISSING = "head_missing"
    NOTED_DIFFERS = "noted_differs"
    PRUNED_SILENTLY = "pruned_silently"
    ERASED_SILENTLY = "erased_silently"

    @property
    def text(self) -> str:
        """Return the fault in words."""
        return _TEXTS[self]


_TEXTS = {
    Fault.ENTRY_CHANGED: "the entry and its seal do not match: one of them was changed",
    Fault.ENTRY_MISSING: "the entry was deleted",
    Fault.ENTRY_WITHOUT_LINK: "the entry has no link in its chain",
    Fault.LINK_MISSING: "the link was deleted, its entry is there",
    Fault.NUMBER_GAP: "the link and its entry were deleted",
    Fault.HEAD_DIFFERS: "the chain's head does not match its links",
    Fault.HEAD_MISSING: "the chain's head was deleted",
    Fault.PRUNED_SILENTLY: "the oldest entries up to here were deleted, and no entry says so",
    Fault.ERASED_SILENTLY: "the entry's details were erased, and no entry says so",
    Fault.NOTED_DIFFERS: "the chain does not lead through the hash that was noted: it was made anew",
}


class SealedEntry(NamedTuple):
    """What an entry's seal is over."""

    text: str | None
    """Its canonical text; none when the entry is not there."""
    details: str | None
    """Its details as PostgreSQL prints them."""
    salt: bytes | None
    digest: bytes | None
    """SHA-256 of salt and details; none for an entry from before there were digests."""
    erased_in: int | None
    """The id of the entry that tells of its erasure."""


def sealed_entry(
    text: str | None, details: str | None, salt: Any, digest: Any, erased_in: int | None
) -> SealedEntry:
    """Return what the `SEALED_COLUMNS` of an entry say."""
    return SealedEntry(text, details, salt and bytes(salt), digest and bytes(digest), erased_in)


def seal_of(previous: bytes, text: str) -> bytes:
    """Return the SHA-256 that seals an entry's canonical text after the link `previous`."""
    return hashlib.sha256(previous + text.encode()).digest()


class SealChecker:
    """Checks the entries of one chain against their seals."""

    def __init__(self, chain_id: UUID) -> None:
        """Check entries of the chain `chain_id`. Needs a system scope as long as it is used."""
        self._tenant_id = None if chain_id == INSTALLATION else chain_id
        # Entries erased together lie near each other.
        self._told = lru_cache(maxsize=16)(self._read_told)

    def fault_of(self, entry_id: int, entry: SealedEntry, *, previous: bytes, seal: bytes) -> Fault | None:
        """Return what is wrong with an entry that `seal` seals after the link `previous`, if anything is."""
        if entry.text is None:
            return Fault.ENTRY_MISSING
        if entry.erased_in is not None:
            return self._fault_of_erased(entry_id, entry, previous, seal)
        if entry.digest is not None and not _is_digest_of(entry):
            return Fault.ENTRY_CHANGED
        return None if seal == seal_of(previous, entry.text) else Fault.ENTRY_CHANGED

    def _fault_of_erased(
        self, entry_id: int, entry: SealedEntry, previous: bytes, seal: bytes
    ) -> Fault | None:
        assert entry.text is not None
        assert entry.erased_in is not None
        told = self._told(entry.erased_in)
        if str(entry_id) not in told:
            return Fault.ERASED_SILENTLY
        if entry.details != ERASED:
            return Fault.ENTRY_CHANGED
        # An entry from before there were digests matches its seal no more; what is left of it is told.
        is_intact = (
            seal == seal_of(previous, entry.text)
            if entry.digest is not None
            else told[str(entry_id)] == seal_of(seal, entry.text).hex()
        )
        return None if is_intact else Fault.ENTRY_CHANGED

    def _read_told(self, telling_id: int) -> dict[str, str | None]:
        """Return the entries whose erasure an entry tells of, the oldest with a digest of what is left."""
        with connection.cursor() as cursor:
            cursor.execute(_TOLD, [telling_id, ERASURE, self._tenant_id])
            row = cursor.fetchone()
        details: dict[str, Any] = json.loads(row[0]) if row else {}
        return {**{str(id): None for id in details.get("entries", ())}, **details.get("left", {})}


def _is_digest_of(entry: SealedEntry) -> bool:
    return entry.digest == hashlib.sha256((entry.salt or b"") + (entry.details or "").encode()).digest()
