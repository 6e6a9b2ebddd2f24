"""What agents keep of a person: conversations, runs with all that was done in them, and files."""

import hashlib
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

from django.conf import settings
from django.db import connection

from agents.cancelling import request_cancel
from agents.models import Chart, Dataset, Message, Run, RunEvent, RunStep, Thread, ToolCall
from agents.models.runs import OPEN_STATUSES, CancelledBy
from agents.outcomes import RunOutcome, close_run
from contexts.models import AuditEntry, Membership
from contexts.personal_data.holders import (
    ERASED_ACTION,
    Attachment,
    ErasureOptions,
    Holder,
    Kept,
    Subject,
    TableHolder,
    erasing,
)
from contexts.quotas import give_back_quota
from contexts.resources import Resource
from contexts.scope import owner_scope, system_scope
from contexts.windows import EPOCH

PATIENCE_S = 30.0
"""How long an erasure waits for workers to end runs that they carry out; then it ends them itself."""
POLL_S = 0.25
DATASETS = 20
"""How many datasets are erased in one transaction."""
DATASETS_STAY = (
    "given to a tenant with other members, without saying by whom; their names, file names and content "
    "are as they were, and may name the person"
)
_PIECE = 1 << 20


class RunHolder(TableHolder):
    """Runs; open ones are cancelled before anything is deleted."""

    def stop(self, subject: Subject) -> None:
        """Cancel the open runs, and wait until their workers have ended them."""
        give_up_at = time.monotonic() + PATIENCE_S
        while open_runs := self._open(subject):
            is_late = time.monotonic() > give_up_at
            for run_id, tenant_id in open_runs:
                _cancel(run_id, tenant_id, subject.user_id, at_once=is_late)
            if not is_late:
                time.sleep(POLL_S)

    def _open(self, subject: Subject) -> list[tuple[UUID, UUID]]:
        with system_scope("find a person's open runs", always_audited=False):
            return list(self.rows(subject).filter(status__in=OPEN_STATUSES).values_list("id", "tenant_id"))


class ChartHolder(TableHolder):
    """Charts; their pictures are files of an export."""

    def attachments(self, subject: Subject) -> Iterator[Attachment]:
        """Yield each chart's SVG."""
        for id, svg in self.rows(subject).order_by("pk").values_list("id", "svg").iterator(chunk_size=20):
            yield Attachment(name=f"charts/{id}.svg", read=partial(_in_one_piece, svg))


class DatasetHolder(TableHolder):
    """Datasets: where others are in the tenant they are its own, and stay with it without an uploader."""

    def attachments(self, subject: Subject) -> Iterator[Attachment]:
        """Yield each dataset's Parquet file."""
        for dataset in self.rows(subject).order_by("pk").iterator(chunk_size=500):
            yield Attachment(name=f"datasets/{dataset.id}.parquet", read=partial(_in_pieces, dataset.path))

    def count(self, subject: Subject, options: ErasureOptions) -> Mapping[str, int]:
        """Count those to delete, and those to leave without an uploader."""
        shared = self.rows(subject).filter(tenant_id__in=[] if options.with_datasets else _shared(subject))
        deleted = self.rows(subject).count() - shared.count()
        return {"agents_dataset": deleted, "agents_dataset (uploader)": shared.count()}

    def erase(self, subject: Subject, options: ErasureOptions) -> None:
        """Delete those that are nobody else's, with their files, and give their storage back."""
        self._delete_told_files(subject)
        is_left = True
        while is_left:
            with erasing(subject, self.kind) as erased:
                shared = set() if options.with_datasets else set(_shared(subject))
                datasets = list(self.rows(subject).select_for_update().order_by("pk")[:DATASETS])
                for dataset in datasets:
                    if dataset.tenant_id in shared:
                        name = "agents_dataset (uploader)"
                        Dataset.objects.filter(id=dataset.id).update(
                            user=None, former_user_id=subject.user_id
                        )
                    else:
                        name = "agents_dataset"
                        if digest := _digest(dataset.path):
                            erased.files[_told_path(dataset.path)] = digest
                        _delete(dataset)
                    erased.rows[name] = erased.rows.get(name, 0) + 1
            is_left = len(datasets) == DATASETS

    def kept(self, subject: Subject) -> Iterator[Kept]:
        """Yield how many stay with their tenants."""
        left = Dataset.objects.filter(former_user_id=subject.user_id)
        yield Kept(what="agents_dataset", count=left.count(), why=DATASETS_STAY)

    def _delete_told_files(self, subject: Subject) -> None:
        """Delete what was to be deleted after a commit, if the process ended between the two."""
        with system_scope("finish the erasure of files", always_audited=False):
            told = AuditEntry.objects.filter(
                user_id=subject.user_id, action=ERASED_ACTION, details__kind=self.kind
            )
            for details in told.values_list("details", flat=True):
                for name, _ in details["files"]:
                    (Path(settings.DATASET_DIR) / name).unlink(missing_ok=True)


class JobHolder(Holder):
    """Jobs of the queue, which name the user whose run they carry out."""

    kind = "jobs"
    _SHOWN = ("id", "task_name", "status", "attempts", "scheduled_at")
    _OWN = "FROM procrastinate_jobs WHERE args->>'user_id' = %s"

    def records(self, subject: Subject) -> Iterator[Mapping[str, Any]]:
        """Yield what each is for, and how far it is."""
        with connection.chunked_cursor() as cursor:
            cursor.execute(f"SELECT {', '.join(self._SHOWN)} {self._OWN} ORDER BY id", [str(subject.user_id)])
            while row := cursor.fetchone():
                yield dict(zip(self._SHOWN, row, strict=True))

    def count(self, subject: Subject, options: ErasureOptions) -> Mapping[str, int]:
        """Count them."""
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT count(*) {self._OWN}", [str(subject.user_id)])
            return {"procrastinate_jobs": cursor.fetchone()[0]}

    def erase(self, subject: Subject, options: ErasureOptions) -> None:
        """Delete them; a worker that is at one is given time to end it."""
        give_up_at = time.monotonic() + PATIENCE_S
        while self._is_being_done(subject) and time.monotonic() < give_up_at:
            time.sleep(POLL_S)
        with erasing(subject, self.kind) as erased, connection.cursor() as cursor:
            cursor.execute(f"DELETE {self._OWN}", [str(subject.user_id)])
            erased.rows = {"procrastinate_jobs": cursor.rowcount} if cursor.rowcount else {}

    def _is_being_done(self, subject: Subject) -> bool:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT EXISTS (SELECT {self._OWN} AND status = 'doing')", [str(subject.user_id)])
            return bool(cursor.fetchone()[0])


def agent_holders() -> tuple[Holder, ...]:
    """Return the holders of this package, what others hang on first."""
    return (
        TableHolder("threads", Thread),
        DatasetHolder("datasets", Dataset),
        RunHolder("runs", Run),
        JobHolder(),
        TableHolder("messages", Message),
        # As the models' services gave it, so it may hold secrets; what is shown is in the events.
        TableHolder("run_steps", RunStep, is_exported=False),
        TableHolder("events", RunEvent),
        TableHolder("tool_calls", ToolCall),
        ChartHolder("charts", Chart, hidden=["svg"]),
    )


def _cancel(run_id: UUID, tenant_id: UUID, user_id: UUID, *, at_once: bool) -> None:
    with owner_scope(user_id=user_id, tenant_id=tenant_id):
        run = Run.objects.select_for_update().filter(id=run_id, status__in=OPEN_STATUSES).first()
        if run is None:
            return
        ended = request_cancel(run, by=CancelledBy.OPERATOR, now=datetime.now(UTC))
        if ended is None and at_once:
            close_run(run, RunOutcome.cancelled(by=CancelledBy.OPERATOR))


def _shared(subject: Subject) -> list[UUID]:
    """Return the tenants to which the person gave datasets and to which others belong."""
    tenants = Dataset.objects.filter(user_id=subject.user_id).order_by().values("tenant_id").distinct()
    others = Membership.objects.filter(tenant_id__in=tenants).exclude(user_id=subject.user_id)
    return list(others.order_by().values_list("tenant_id", flat=True).distinct())


def _delete(dataset: Dataset) -> None:
    give_back_quota(
        user_id=dataset.charged_to,
        tenant_id=dataset.tenant_id,
        resource=Resource.STORAGE_BYTES,
        amount=dataset.stored_bytes,
        window_start=EPOCH,
    )
    dataset.delete()


def _told_path(path: Path) -> str:
    return str(path.relative_to(settings.DATASET_DIR))


def _digest(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None


def _in_one_piece(text: str) -> list[bytes]:
    return [text.encode()]


def _in_pieces(path: Path) -> Iterator[bytes]:
    # Opened now: whoever asks learns at once whether it is there.
    return _pieces(path.open("rb"))


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while piece := file.read(_PIECE):
            yield piece
