"""Exporting everything that is kept of a person: one archive, written piece by piece."""

import hashlib
import json
import os
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from contexts.audit import record_system_audit
from contexts.exceptions import ConflictError
from contexts.personal_data.holders import Holder, Subject
from contexts.personal_data.registry import registered_holders, unanswered_keys
from contexts.scope import system_scope

FORMAT = "netra-personal-data"
VERSION = 1
MANIFEST = "manifest.json"

Manifest = dict[str, Any]


def export_person(
    subject: Subject, destination: Path, *, operator: Mapping[str, Any], now: datetime
) -> Manifest:
    """Write what every holder has of a person into a new zip file that only its owner reads; audited.

    A file of JSON lines for each kind, the files that belong to them, and last `manifest.json`, which is also
    returned: format and version, when (UTC), and of each file `name`, `records` (none for an attachment),
    `bytes` and `sha256`; `missing` names what should be there and is not. No kind is held in memory.
    `operator` says who does it, as `find_operator` does.

    Raises:
        ConflictError: when a table that names people has no holder.
        FileExistsError: when there is such a file.
        OSError: when it cannot be written; nothing is left of it.
    """
    if keys := unanswered_keys():
        raise ConflictError(f"Nobody says what of a person these hold: {', '.join(keys)}.")
    if destination.exists():
        raise FileExistsError(f"There is a file {destination} already.")
    part = destination.with_name(f".{destination.name}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            manifest = _write(subject, file, now)
        with system_scope("export a person's data: audit", always_audited=False):
            record_system_audit(
                "user_exported",
                user_id=subject.user_id,
                files=len(manifest["files"]),
                records=sum(entry["records"] or 0 for entry in manifest["files"]),
                **operator,
            )
        part.replace(destination)
    finally:
        part.unlink(missing_ok=True)
    return manifest


def _write(subject: Subject, file: Any, now: datetime) -> Manifest:
    manifest: Manifest = {
        "format": FORMAT,
        "version": VERSION,
        "created_at": now.isoformat(),
        "user_id": str(subject.user_id),
        "username": subject.names[0],
        "files": [],
        "missing": [],
    }
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for holder in registered_holders():
            with system_scope(f"export a person's data: {holder.kind}", always_audited=False):
                _write_holder(archive, holder, subject, manifest)
        archive.writestr(MANIFEST, json.dumps(manifest, indent=2))
    return manifest


def _write_holder(archive: zipfile.ZipFile, holder: Holder, subject: Subject, manifest: Manifest) -> None:
    lines = _Counted(holder.records(subject))
    entry = _write_entry(archive, f"{holder.kind}.jsonl", lines)
    manifest["files"].append({**entry, "records": lines.count})
    for attachment in holder.attachments(subject):
        try:
            entry = _write_entry(archive, attachment.name, attachment.read())
        except FileNotFoundError:
            manifest["missing"].append(attachment.name)
        else:
            manifest["files"].append({**entry, "records": None})


class _Counted:
    """Records as lines of JSON, counted on the way."""

    def __init__(self, records: Iterator[Mapping[str, Any]]) -> None:
        self.count = 0
        self._records = records

    def __iter__(self) -> Iterator[bytes]:
        for record in self._records:
            self.count += 1
            yield json.dumps(record, default=_plain, ensure_ascii=False).encode() + b"\n"


def _write_entry(archive: zipfile.ZipFile, name: str, pieces: Iterable[bytes]) -> dict[str, Any]:
    digest, size = hashlib.sha256(), 0
    with archive.open(name, "w", force_zip64=True) as entry:
        for piece in pieces:
            entry.write(piece)
            digest.update(piece)
            size += len(piece)
    return {"name": name, "bytes": size, "sha256": digest.hexdigest()}


def _plain(value: Any) -> str:
    if isinstance(value, (bytes, memoryview)):
        return bytes(value).hex()
    return value.isoformat() if isinstance(value, datetime) else str(value)
