"""Pruning the audit: the oldest entries of a chain go, and what is left can still be verified."""

from datetime import datetime
from uuid import UUID

from django.db import connection

from contexts.audit import record_system_audit
from contexts.audit_seals import INSTALLATION, SEALED_COLUMNS, SealChecker, sealed_entry
from contexts.exceptions import ConflictError
from contexts.scope import system_scope

BATCH = 5_000
"""How many entries are pruned in one transaction, during which nothing is added to their chain."""

_LOCK_CHAIN = "SELECT pruned, pruned_head FROM contexts_auditchain WHERE id = %s FOR UPDATE"
_OLDEST = f"""
SELECT link.number, link.hash, link.entry_id, entry.created_at, {SEALED_COLUMNS}
FROM contexts_auditlink link LEFT JOIN contexts_auditentry entry ON entry.id = link.entry_id
WHERE link.chain_id = %s AND link.number > %s
ORDER BY link.number
LIMIT %s
"""  # noqa: S608 - put together from constants
_COUNT = """
SELECT count(*) FROM contexts_auditlink link
WHERE link.chain_id = %(chain)s AND link.number < coalesce((
    SELECT min(kept.number) FROM contexts_auditlink kept
    JOIN contexts_auditentry entry ON entry.id = kept.entry_id
    WHERE kept.chain_id = %(chain)s AND entry.created_at >= %(before)s), 1 + (
    SELECT max(number) FROM contexts_auditlink WHERE chain_id = %(chain)s))
"""


def count_prunable(chain_id: UUID, *, before: datetime) -> int:
    """Return how many entries `prune_chain` would delete. Needs a system scope."""
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, {"chain": chain_id, "before": before})
        count: int = cursor.fetchone()[0]
        return count


def prune_chain(chain_id: UUID, *, before: datetime) -> int:
    """Delete the chain's oldest entries, up to the first made at `before` or later; return how many.

    Opens system scopes itself, one for each batch: each is audited, and so is what it deleted, in the
    chain it was deleted from.

    Raises:
        ConflictError: when the entries do not match their seals; evidence of that is not deleted.
    """
    pruned = 0
    while True:
        with system_scope("prune the audit"):
            batch = _prune_batch(chain_id, before)
        pruned += batch
        if batch < BATCH:
            return pruned


def _prune_batch(chain_id: UUID, before: datetime) -> int:
    with connection.cursor() as cursor:
        cursor.execute(_LOCK_CHAIN, [chain_id])
        chain = cursor.fetchone()
        if chain is None:
            return 0
        after, head = chain[0], bytes(chain[1])
        last = after
        cursor.execute(_OLDEST, [chain_id, after, BATCH])
        entries: list[int] = []
        checker = SealChecker(chain_id)
        for number, hashed, entry_id, created_at, *columns in cursor.fetchall():
            entry, seal = sealed_entry(*columns), bytes(hashed)
            if number != last + 1 or checker.fault_of(entry_id, entry, previous=head, seal=seal):
                raise ConflictError(
                    f"Link {last + 1} of the audit chain {chain_id} is broken, so nothing from there on is "
                    "pruned; see verify_audit."
                )
            if created_at >= before:
                break
            last, head = number, seal
            entries.append(entry_id)
        if not entries:
            return 0
        cursor.execute("SELECT set_config('netra.audit_retention', 'on', true)")
        cursor.execute(
            "DELETE FROM contexts_auditlink WHERE chain_id = %s AND number <= %s", [chain_id, last]
        )
        cursor.execute("DELETE FROM contexts_auditentry WHERE id = ANY (%s)", [entries])
        cursor.execute(
            "UPDATE contexts_auditchain SET pruned = %s, pruned_head = %s WHERE id = %s",
            [last, head, chain_id],
        )
        cursor.execute("SELECT set_config('netra.audit_retention', '', true)")
    record_system_audit(
        "audit_pruned",
        tenant_id=None if chain_id == INSTALLATION else chain_id,
        entries=len(entries),
        up_to=last,
        head=head.hex(),
        before=before,
    )
    return len(entries)
