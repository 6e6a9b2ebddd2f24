"""Writes: datasets, their files and the storage they take."""

from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from agents.analysis.prices import find_prices
from agents.dataset_import import import_for
from agents.datasets.importer import ImportedDataset
from agents.models import Dataset
from agents.selectors import dataset_of
from agents.threads import require_member
from agents.upload_storage import AdmittedUpload, count_storage, record_refusal
from contexts.audit import record_audit
from contexts.context import UserExecutionContext
from contexts.exceptions import InvalidRequestError, LimitError, PermissionDeniedError, UnavailableError
from contexts.identifiers import new_id
from contexts.quotas import give_back_quota
from contexts.resources import Resource
from contexts.scope import scope
from contexts.signals import quotas_changed
from contexts.windows import EPOCH

MANAGERS = frozenset({"owner", "admin"})


def store_dataset(
    context: UserExecutionContext,
    *,
    file: Path,
    filename: str,
    name: str,
    assume_model: str | None,
    now: datetime,
    admitted: AdmittedUpload | None = None,
) -> Dataset:
    """Import a usage log and keep it for the user's tenant: the row and the Parquet file, or neither.

    What is stored counts as storage, first from what was set aside for the `admitted` upload.

    Raises:
        InvalidDatasetError: when the file is not a usage log.
        InvalidRequestError: when `assume_model` has no list price, or a name cannot be used.
        QuotaExceededError: when the user's storage or CPU seconds are used up, or the file needs too much
            memory.
        PermissionDeniedError: when the user may only look.
        UnavailableError: when the server's disk or memory does not suffice.
    """
    require_member(context)
    filename = _clean_name(Path(filename).name or "upload", longest=255)
    dataset = Dataset(
        id=new_id(),
        tenant_id=context.tenant_id,
        user_id=context.user_id,
        name=_clean_name(name or Path(filename).stem, longest=200),
        filename=filename,
        assumed_model=_known_model(assume_model, now=now),
    )
    try:
        dataset.path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnavailableError("The dataset cannot be written to the server's disk.") from error
    imported = import_for(context, file, dataset.path, filename=filename)
    try:
        _fill(dataset, imported)
        with scope(context, outermost=True):
            count_storage(context, imported.bytes, admitted=admitted)
            dataset.save(force_insert=True)
            record_audit(context, "dataset_stored", dataset=str(dataset.id), bytes=imported.bytes)
    except BaseException as error:
        dataset.path.unlink(missing_ok=True)
        if isinstance(error, LimitError):
            record_refusal(context, error, imported.bytes)
        raise
    _tell_storage_changed(dataset)
    return dataset


def delete_dataset(context: UserExecutionContext, dataset_id: UUID) -> None:
    """Delete a dataset and its file, and give its storage back.

    Raises:
        NotFoundError: when it does not exist or is another tenant's.
        PermissionDeniedError: when it is a team-mate's and the user is neither owner nor admin.
    """
    with scope(context, outermost=True):
        dataset = dataset_of(context, dataset_id)
        if dataset.user_id != context.user_id and context.role not in MANAGERS:
            raise PermissionDeniedError(
                "Only its owner, or an owner or admin of the organisation, may delete it."
            )
        path = dataset.path
        deleted, _ = Dataset.objects.filter(id=dataset.id).delete()
        if deleted:
            give_back_quota(
                user_id=dataset.charged_to,
                tenant_id=dataset.tenant_id,
                resource=Resource.STORAGE_BYTES,
                amount=dataset.stored_bytes,
                window_start=EPOCH,
            )
            record_audit(context, "dataset_deleted", dataset=str(dataset.id), bytes=dataset.stored_bytes)
    path.unlink(missing_ok=True)
    if deleted:
        _tell_storage_changed(dataset)


def _tell_storage_changed(dataset: Dataset) -> None:
    quotas_changed.send_robust(
        sender=Dataset,
        user_id=dataset.charged_to,
        tenant_id=dataset.tenant_id,
        resources=(str(Resource.STORAGE_BYTES), str(Resource.CPU_SECONDS)),
    )


def _fill(dataset: Dataset, imported: ImportedDataset) -> None:
    dataset.format = imported.format
    dataset.names_models = imported.names_models
    dataset.time_is_relative = imported.time_is_relative
    dataset.rows = imported.rows
    dataset.requests = imported.requests
    dataset.input_tokens = imported.input_tokens
    dataset.output_tokens = imported.output_tokens
    dataset.stored_bytes = imported.bytes
    dataset.first_at = imported.first_at and imported.first_at.replace(tzinfo=UTC)
    dataset.last_at = imported.last_at and imported.last_at.replace(tzinfo=UTC)
    dataset.notes = list(imported.notes)


def _known_model(assume_model: str | None, *, now: datetime) -> str:
    name = (assume_model or "").strip()
    if not name:
        return ""
    try:
        find_prices(name, priced_at=now)
    except LookupError:
        raise InvalidRequestError(
            f"There is no list price for a model named {name[:100]!r}; name one such as gpt-4o.",
            field="assume_model",
        ) from None
    return name[:200]


def _clean_name(name: str, *, longest: int) -> str:
    cleaned = " ".join(name.split())
    if "\0" in cleaned:
        raise InvalidRequestError("A name cannot contain a NUL character.")
    if not cleaned or len(cleaned) > longest:
        raise InvalidRequestError(f"A name has 1 to {longest} characters.")
    return cleaned
