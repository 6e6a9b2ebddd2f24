"""Verifying the audit: each entry against its seal, each seal against the one before."""

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import NamedTuple
from uuid import UUID

from django.db import connection

from contexts.audit_seals import INSTALLATION, SEALED_COLUMNS, Fault, SealChecker, SealedEntry, sealed_entry

GENESIS = bytes(32)
"""What the first link of a chain follows."""

_CHAINS = """
SELECT id FROM contexts_auditchain
UNION SELECT chain_id FROM contexts_auditlink
UNION SELECT coalesce(tenant_id, %s) FROM contexts_auditentry
ORDER BY 1
"""
# One statement, so that head and links are of one moment while entries are still being added.
_LINKS = f"""
SELECT chain.length, chain.head, chain.pruned, chain.pruned_head,
       link.number, link.hash, link.entry_id, {SEALED_COLUMNS}
FROM (VALUES (%s)) AS wanted (id)
LEFT JOIN contexts_auditchain chain USING (id)
LEFT JOIN contexts_auditlink link ON link.chain_id = wanted.id
LEFT JOIN contexts_auditentry entry ON entry.id = link.entry_id
ORDER BY link.number
"""  # noqa: S608 - put together from constants
_UNLINKED = """
SELECT min(entry.id) FROM contexts_auditentry entry
WHERE entry.tenant_id IS NOT DISTINCT FROM %s AND NOT EXISTS (
    SELECT FROM contexts_auditlink link WHERE link.entry_id = entry.id AND link.chain_id = %s)
"""
_PRUNING_IS_TOLD = """
SELECT EXISTS (
    SELECT FROM contexts_auditentry
    WHERE tenant_id IS NOT DISTINCT FROM %s AND action = 'audit_pruned'
      AND details->>'up_to' = %s AND details->>'head' = %s)
"""
_ROWS_AT_ONCE = 2_000


@dataclass(frozen=True, slots=True)
class BrokenLink:
    """The first place at which a chain is not what was sealed."""

    fault: Fault
    number: int | None = None
    """Number of the link in its chain, where there is one."""
    entry_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainReport:
    """What verifying one chain found."""

    chain_id: UUID
    length: int
    """How many entries were ever sealed, pruned ones too."""
    pruned: int
    verified: int
    """How many entries are there and match, up to the first broken link."""
    erased: int
    """Of how many of these the details were erased with a person's data, as another entry tells."""
    head: bytes
    """SHA-256 of the newest link that was verified."""
    broken: BrokenLink | None


class ChainPlace(NamedTuple):
    """A place in a chain, such as an operator noted earlier."""

    number: int
    hash: bytes


class _Row(NamedTuple):
    length: int | None
    head: bytes
    pruned: int
    pruned_head: bytes
    number: int | None
    hash: bytes
    entry_id: int
    entry: SealedEntry


def chain_ids() -> list[UUID]:
    """Return every chain that is there or should be. Needs a system scope."""
    with connection.cursor() as cursor:
        cursor.execute(_CHAINS, [INSTALLATION])
        return [row[0] for row in cursor.fetchall()]


def verify_chain(chain_id: UUID, *, noted: ChainPlace | None = None) -> ChainReport:
    """Verify a chain from its oldest link on, up to the first broken one. Needs a system scope.

    With `noted`, the chain must also lead through that place, if it was not pruned since: who can
    change entries and triggers can seal everything anew, but not to the same hash.
    """
    with closing(_rows_of(chain_id)) as rows:
        report = _verify(chain_id, rows, noted)
    if report.broken is None and (entry_id := _unlinked_entry(chain_id)) is not None:
        return replace(report, broken=BrokenLink(Fault.ENTRY_WITHOUT_LINK, None, entry_id))
    return report


def _verify(chain_id: UUID, rows: Iterator[_Row], noted: ChainPlace | None) -> ChainReport:
    first = next(rows)
    if first.length is None:
        empty = ChainReport(
            chain_id=chain_id, length=0, pruned=0, verified=0, erased=0, head=GENESIS, broken=None
        )
        is_there = first.number is not None or _unlinked_entry(chain_id) is not None
        return replace(empty, broken=BrokenLink(Fault.HEAD_MISSING)) if is_there or noted else empty
    number, head, erased = first.pruned, first.pruned_head, 0
    checker = SealChecker(chain_id)

    def report(broken: BrokenLink | None) -> ChainReport:
        return ChainReport(
            chain_id=chain_id,
            length=first.length or 0,
            pruned=first.pruned,
            verified=number - first.pruned,
            erased=erased,
            head=head,
            broken=broken,
        )

    if number == 0 and head != GENESIS:
        return report(BrokenLink(Fault.HEAD_DIFFERS, 0))
    if noted and noted.number == number and noted.hash != head:
        return report(BrokenLink(Fault.NOTED_DIFFERS, number))
    if number and not _is_pruning_told(chain_id, number, head):
        return report(BrokenLink(Fault.PRUNED_SILENTLY, number))
    row: _Row | None = first if first.number is not None else None
    while row is not None:
        if row.number != number + 1:
            return report(_gap(chain_id, number + 1))
        if fault := checker.fault_of(row.entry_id, row.entry, previous=head, seal=row.hash):
            return report(BrokenLink(fault, row.number, row.entry_id))
        number, head = row.number, row.hash
        erased += row.entry.erased_in is not None
        if noted and noted.number == number and noted.hash != head:
            return report(BrokenLink(Fault.NOTED_DIFFERS, number, row.entry_id))
        row = next(rows, None)
    if number < first.length:
        return report(_gap(chain_id, number + 1))
    if (number, head) != (first.length, first.head):
        return report(BrokenLink(Fault.HEAD_DIFFERS, number))
    if noted and noted.number > number:
        return report(BrokenLink(Fault.NOTED_DIFFERS, noted.number))
    return report(None)


def _is_pruning_told(chain_id: UUID, number: int, head: bytes) -> bool:
    tenant_id = None if chain_id == INSTALLATION else chain_id
    with connection.cursor() as cursor:
        cursor.execute(_PRUNING_IS_TOLD, [tenant_id, str(number), head.hex()])
        return bool(cursor.fetchone()[0])


def _gap(chain_id: UUID, number: int) -> BrokenLink:
    entry_id = _unlinked_entry(chain_id)
    return BrokenLink(Fault.NUMBER_GAP if entry_id is None else Fault.LINK_MISSING, number, entry_id)


def _unlinked_entry(chain_id: UUID) -> int | None:
    """Return the oldest entry of a chain that has no link in it."""
    with connection.cursor() as cursor:
        cursor.execute(_UNLINKED, [None if chain_id == INSTALLATION else chain_id, chain_id])
        entry_id: int | None = cursor.fetchone()[0]
        return entry_id


def _rows_of(chain_id: UUID) -> Generator[_Row]:
    """Yield a chain's links in order, at least one row: the head alone where there is no link."""
    with connection.chunked_cursor() as cursor:
        cursor.execute(_LINKS, [chain_id])
        while rows := cursor.fetchmany(_ROWS_AT_ONCE):
            for length, head, pruned, pruned_head, number, seal, entry_id, *entry in rows:
                yield _Row(
                    length,
                    bytes(head or b""),
                    pruned or 0,
                    bytes(pruned_head or b""),
                    number,
                    bytes(seal or b""),
                    entry_id,
                    sealed_entry(*entry),
                )
