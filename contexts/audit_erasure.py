"""Erasing what the audit says of one person; who did what, and when, stays under an id that names nobody."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from django.db import connection

from contexts.audit_details import audit_details
from contexts.audit_seals import ERASED, ERASURE, INSTALLATION, TEXT_LEFT, seal_of
from contexts.models import AuditEntry

BATCH = 80
"""How many entries one transaction erases; the entry that tells of them has room for so many."""
KEPT_ACTIONS = (
    *(ERASURE, "audit_pruned", "runs_pruned", "conversations_pruned", "quotas_pruned"),
    *("user_exported", "user_erasure_started", "personal_data_erased", "user_erased"),
)
"""Tell what became of data, by ids and counts alone, and are never erased."""

# What somebody did as staff is about others: `row` and `member` say whom. It goes only where it names them.
_ABOUT = """
SELECT id, coalesce(tenant_id, %(installation)s) FROM contexts_auditentry
WHERE erased_in IS NULL AND action <> ALL (%(kept)s) AND (
    user_id = %(user)s AND NOT details ?| '{row,member}'
    OR details::text LIKE %(mention)s
    OR details ?| '{row,member,reason}' AND details::text ~* %(names)s)
ORDER BY id
"""
_ABOUT_COLUMNS = (
    *("id", "tenant_id", "user_id", "action", "context_id"),
    *("run_id", "request_id", "details", "created_at"),
)
_EVERY = f"""
SELECT {", ".join(_ABOUT_COLUMNS)} FROM contexts_auditentry
WHERE user_id = %(user)s OR details::text LIKE %(mention)s
    OR details ?| '{{row,member,reason}}' AND details::text ~* %(names)s
ORDER BY id
"""  # noqa: S608 - put together from constants
_LEFT = f"""
SELECT entry.id, link.hash, {TEXT_LEFT}
FROM contexts_auditentry entry JOIN contexts_auditlink link ON link.entry_id = entry.id
WHERE entry.id = ANY (%s) AND entry.details_digest IS NULL
"""  # noqa: S608 - put together from constants
_LOCK = "SELECT id FROM contexts_auditentry WHERE id = ANY (%s) AND erased_in IS NULL ORDER BY id FOR UPDATE"
_LOCK_CHAINS = "SELECT FROM contexts_auditchain WHERE id = ANY (%s) ORDER BY id FOR UPDATE"
_ERASE = """
UPDATE contexts_auditentry SET details = %s, details_salt = NULL, erased_in = %s WHERE id = ANY (%s)
"""
_ROWS_AT_ONCE = 1_000


def entries_to_erase(user_id: UUID, names: Sequence[str]) -> dict[UUID, list[int]]:
    """Return the ids, by chain, of the entries whose details say something of a person.

    These are their own entries, and others' that name their id or, as a whole word, one of `names`. Needs a
    system scope; reads the whole audit once.
    """
    found: dict[UUID, list[int]] = defaultdict(list)
    for entry_id, chain_id in _rows(_ABOUT, _arguments(user_id, names)):
        found[chain_id].append(entry_id)
    return dict(found)


def entries_about(user_id: UUID, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield all entries of a person or about them, oldest first. Needs a system scope."""
    with connection.chunked_cursor() as cursor:
        cursor.execute(_EVERY, _arguments(user_id, names))
        while rows := cursor.fetchmany(_ROWS_AT_ONCE):
            for row in rows:
                entry = dict(zip(_ABOUT_COLUMNS, row, strict=True))
                yield {**entry, "details": json.loads(entry["details"])}


def erase_entries(user_id: UUID, chain_id: UUID, entry_ids: Sequence[int]) -> int:
    """Erase the details of at most `BATCH` entries of one chain, which tells of it; return of how many.

    An entry that is erased already, or was pruned meanwhile, is passed over. Needs a system scope, in whose
    transaction nothing of the audit was written yet.
    """
    # In the order in which they are locked at the commit, and before entries, as by whoever prunes.
    _rows(_LOCK_CHAINS, [[INSTALLATION, chain_id]])
    locked = [row[0] for row in _rows(_LOCK, [list(entry_ids[:BATCH])])]
    if not locked:
        return 0
    left = {str(id): seal_of(bytes(seal), text).hex() for id, seal, text in _rows(_LEFT, [locked])}
    telling = AuditEntry.objects.create(
        tenant_id=None if chain_id == INSTALLATION else chain_id,
        user_id=user_id,
        action=ERASURE,
        details=audit_details({"entries": [id for id in locked if str(id) not in left], "left": left}),
    )
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('netra.audit_erasure', 'on', true)")
        cursor.execute(_ERASE, [ERASED, telling.id, locked])
        cursor.execute("SELECT set_config('netra.audit_erasure', '', true)")
    return len(locked)


def _arguments(user_id: UUID, names: Sequence[str]) -> dict[str, Any]:
    # Whatever may stand in a user name or an address is no end of one.
    part = r"[^[:alnum:]_.@+-]"
    words = "|".join(re.sub(r"([^\w\s])", r"\\\1", name) for name in names if name) or "(?!)"
    return {
        "user": user_id,
        "mention": f"%{user_id}%",
        "names": f"(^|{part})({words})($|{part})",
        "installation": INSTALLATION,
        "kept": list(KEPT_ACTIONS),
    }


def _rows(sql: str, arguments: Any) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, arguments)
        return list(cursor.fetchall())
