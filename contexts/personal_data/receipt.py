"""The receipt of an erasure: put together from what the audit says was deleted, which no crash loses."""

import hashlib
import json
from collections import Counter
from datetime import datetime
from typing import Any

from contexts.models import AuditEntry
from contexts.personal_data.holders import ERASED_ACTION, Kept, Subject
from contexts.personal_data.registry import registered_holders

FORMAT = "netra-erasure-receipt"
VERSION = 1
STARTED_ACTION = "user_erasure_started"

Receipt = dict[str, Any]


def make_receipt(subject: Subject, *, operator: str, now: datetime) -> Receipt:
    """Return what was deleted of a person since their erasure was begun, and what was kept; names nobody.

    Needs a system scope. `digest` is the SHA-256 (hex) of the rest as JSON with sorted names and no blanks.
    """
    told = AuditEntry.objects.filter(user_id=subject.user_id).order_by("id")
    started_at = told.filter(action=STARTED_ACTION).values_list("created_at", flat=True).first()
    rows: Counter[str] = Counter()
    files: dict[str, str] = {}
    for details in told.filter(action=ERASED_ACTION).values_list("details", flat=True):
        rows.update(dict(details["rows"]))
        files.update(dict(details["files"]))
    holders = registered_holders()
    receipt = {
        "format": FORMAT,
        "version": VERSION,
        "user_id": str(subject.user_id),
        "operator": operator,
        "started_at": (started_at or now).isoformat(),
        "finished_at": now.isoformat(),
        "deleted": {
            "database": dict(sorted(rows.items())),
            "files": [{"path": path, "sha256": digest} for path, digest in sorted(files.items())],
        },
        "checked": {holder.kind: found for holder in holders if (found := dict(holder.look_over(subject)))},
        "kept": [_as_json(kept) for holder in holders for kept in holder.kept(subject) if kept.count],
    }
    return {**receipt, "digest": digest_of(receipt)}


def digest_of(receipt: Receipt) -> str:
    """Return the SHA-256 (hex) of a receipt without its own digest."""
    rest = {name: value for name, value in receipt.items() if name != "digest"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _as_json(kept: Kept) -> dict[str, Any]:
    return {"what": kept.what, "count": kept.count, "why": kept.why}
