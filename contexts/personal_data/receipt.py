"""The receipt of an erasure: put together from what the audit says was deleted, which no crash loses."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from contexts.exceptions import NotFoundError
from contexts.models import AuditEntry
from contexts.personal_data.holders import ERASED_ACTION, Kept, Subject
from contexts.personal_data.registry import registered_holders
from contexts.scope import system_scope

FORMAT = "netra-erasure-receipt"
VERSION = 1
STARTED_ACTION = "user_erasure_started"
FINISHED_ACTION = "user_erased"

Receipt = dict[str, Any]

_KEPT = ("what", "count", "why")


def make_receipt(subject: Subject, *, operator: Mapping[str, Any], now: datetime) -> Receipt:
    """Return what was deleted of a person since their erasure was begun, and what was kept; names nobody.

    Needs a system scope. `digest` is the SHA-256 (hex) of the rest as JSON with sorted names and no blanks.
    """
    holders = registered_holders()
    return _put_together(
        subject.user_id,
        operator=operator,
        finished_at=now.isoformat(),
        checked={holder.kind: found for holder in holders if (found := dict(holder.look_over(subject)))},
        kept=[_as_json(kept) for holder in holders for kept in holder.kept(subject) if kept.count],
    )


def told_of(receipt: Receipt) -> dict[str, Any]:
    """Return what the audit's last entry of an erasure has to have for `find_receipt`, with the digest."""
    return {
        "receipt_digest": receipt["digest"],
        "finished_at": receipt["finished_at"],
        # Pairs, as a name may look like that of a secret.
        "checked": [[kind, list(found.items())] for kind, found in receipt["checked"].items()],
        "kept": [list(kept.values()) for kept in receipt["kept"]],
    }


def find_receipt(user_id: UUID) -> tuple[Receipt, bool]:
    """Return the receipt of an erasure again, and whether its digest is the one that was noted then.

    It is not where the audit was pruned, or could not keep all of it. Opens a system scope itself.

    Raises:
        NotFoundError: when the audit tells of no finished erasure of this person.
    """
    with system_scope("make a receipt again"):
        ends = AuditEntry.objects.filter(user_id=user_id, action=FINISHED_ACTION).order_by("-id")
        end = ends.values_list("details", "created_at").first()
        if end is None:
            raise NotFoundError(f"The audit tells of no erasure of {user_id} that was finished.")
        told: dict[str, Any] = end[0]
        receipt = _put_together(
            user_id,
            operator={name: told[name] for name in ("operator", "operator_id") if name in told},
            finished_at=told.get("finished_at") or end[1].isoformat(),
            checked={kind: dict(found) for kind, found in told.get("checked", ())},
            kept=[dict(zip(_KEPT, kept, strict=True)) for kept in told.get("kept", ())],
        )
    return receipt, receipt["digest"] == told["receipt_digest"]


def _put_together(
    user_id: UUID,
    *,
    operator: Mapping[str, Any],
    finished_at: str,
    checked: Mapping[str, Any],
    kept: list[dict[str, Any]],
) -> Receipt:
    told = AuditEntry.objects.filter(user_id=user_id).order_by("id")
    started_at = told.filter(action=STARTED_ACTION).values_list("created_at", flat=True).first()
    rows: Counter[str] = Counter()
    files: dict[str, str] = {}
    for details in told.filter(action=ERASED_ACTION).values_list("details", flat=True):
        rows.update(dict(details["rows"]))
        files.update(dict(details["files"]))
    receipt = {
        "format": FORMAT,
        "version": VERSION,
        "user_id": str(user_id),
        **operator,
        "started_at": started_at.isoformat() if started_at else finished_at,
        "finished_at": finished_at,
        "deleted": {
            "database": dict(sorted(rows.items())),
            "files": [{"path": path, "sha256": digest} for path, digest in sorted(files.items())],
        },
        "checked": checked,
        "kept": kept,
    }
    return {**receipt, "digest": digest_of(receipt)}


def digest_of(receipt: Receipt) -> str:
    """Return the SHA-256 (hex) of a receipt without its own digest."""
    rest = {name: value for name, value in receipt.items() if name != "digest"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _as_json(kept: Kept) -> dict[str, Any]:
    return {name: getattr(kept, name) for name in _KEPT}
