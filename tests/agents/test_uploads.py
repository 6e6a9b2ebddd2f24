import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agents.models import Dataset
from agents.upload_storage import AdmittedUpload
from agents.uploads import delete_dataset, store_dataset
from contexts.exceptions import (
    InvalidDatasetError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    QuotaExceededError,
    UnavailableError,
)
from contexts.factory import UserContextFactory, managed_user_context
from contexts.models import Membership, QuotaOverride, QuotaReservation, QuotaUsage, TierLimit
from contexts.quotas import release_quota, reserve_quota
from contexts.signals import quotas_changed
from tests.contexts.quota_books import imbalances
from tests.factories import make_cast

NOW = datetime(2026, 3, 1, tzinfo=UTC)
GOOD = "TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:15:46.6805900,374,44\r\n"
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def dataset_folder(settings, tmp_path):
    settings.DATASET_DIR = tmp_path / "datasets"
    return settings.DATASET_DIR


@pytest.fixture
def cast():
    return make_cast()


def context_of(user):
    return managed_user_context(UserContextFactory().for_request(user.id))


def store(context, tmp_path, content=GOOD, **fields):
    file = tmp_path / "upload"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    values = {"filename": "calls.csv", "name": "", "assume_model": "gpt-4o", "now": NOW}
    return store_dataset(context, file=file, **{**values, **fields})


def files(folder: Path):
    return [path for path in folder.rglob("*") if path.is_file()] if folder.exists() else []


@pytest.fixture
def changes():
    """Return what is told of changed quotas, as it is told."""
    told = []

    def note(sender, **told_of):
        row = QuotaUsage.objects.get(user_id=told_of["user_id"], resource="storage_bytes")
        told.append((told_of["user_id"], told_of["tenant_id"], told_of["resources"], row.used))

    quotas_changed.connect(note)
    yield told
    quotas_changed.disconnect(note)


def storage_used(user):
    return sum(QuotaUsage.objects.filter(user=user, resource="storage_bytes").values_list("used", flat=True))


def test_a_log_is_stored_with_its_figures_and_its_storage_is_counted(cast, tmp_path, dataset_folder):
    with context_of(cast.alice) as context:
        dataset = store(context, tmp_path)
    assert (dataset.name, dataset.rows, dataset.input_tokens, dataset.output_tokens) == ("calls", 1, 374, 44)
    assert files(dataset_folder) == [dataset.path]
    assert storage_used(cast.alice) == dataset.stored_bytes == dataset.path.stat().st_size


@pytest.mark.mission_critical("P9")
@pytest.mark.parametrize(
    "content",
    [
        b"",
        os.urandom(1_000),
        "TIMESTAMP,ContextTokens\r\n2023-11-16 18:15:46,374\r\n",
        "TIMESTAMP,ContextTokens,GeneratedTokens\n",
    ],
    ids=["empty", "random bytes", "a column missing", "no rows"],
)
def test_what_is_no_log_is_refused_and_nothing_stored(cast, tmp_path, dataset_folder, content):
    with context_of(cast.alice) as context, pytest.raises(InvalidDatasetError) as refusal:
        store(context, tmp_path, content)
    assert refusal.value.message.endswith(".")
    assert not files(dataset_folder)
    assert not Dataset.objects.exists()
    assert storage_used(cast.alice) == 0


@pytest.mark.mission_critical("P9")
def test_an_unknown_model_is_not_assumed(cast, tmp_path, dataset_folder):
    with context_of(cast.alice) as context, pytest.raises(InvalidRequestError, match="no list price"):
        store(context, tmp_path, assume_model="gpt-banana")
    assert not files(dataset_folder)


@pytest.mark.mission_critical("P4")
def test_storage_that_is_used_up_refuses_and_keeps_no_file(cast, tmp_path, dataset_folder):
    TierLimit.objects.filter(tier__slug="free", resource="storage_bytes").update(limit=100)
    with context_of(cast.carol) as context, pytest.raises(QuotaExceededError):
        store(context, tmp_path)
    assert not files(dataset_folder)
    assert not Dataset.objects.exists()


def test_a_file_name_cannot_lead_out_of_the_folder(cast, tmp_path, dataset_folder):
    with context_of(cast.alice) as context:
        dataset = store(context, tmp_path, filename="../../etc/passwd.csv")
    assert dataset.filename == "passwd.csv"
    assert dataset.path.is_relative_to(dataset_folder)


def test_deleting_gives_the_storage_back(cast, tmp_path, dataset_folder):
    with context_of(cast.alice) as context:
        dataset = store(context, tmp_path)
        delete_dataset(context, dataset.id)
    assert not files(dataset_folder)
    assert storage_used(cast.alice) == 0


def test_only_the_owner_or_a_tenant_manager_deletes(cast, tmp_path, dataset_folder):
    with context_of(cast.alice) as context:
        dataset = store(context, tmp_path)
    with context_of(cast.carol) as context, pytest.raises(NotFoundError):
        delete_dataset(context, dataset.id)
    with context_of(cast.bob) as context, pytest.raises(PermissionDeniedError):
        delete_dataset(context, dataset.id)
    Membership.objects.filter(user=cast.bob).update(role="admin")
    with context_of(cast.bob) as context:
        delete_dataset(context, dataset.id)
    assert not Dataset.objects.exists()


def test_viewers_upload_nothing(cast, tmp_path, dataset_folder):
    Membership.objects.filter(user=cast.bob).update(role="viewer")
    with context_of(cast.bob) as context, pytest.raises(PermissionDeniedError):
        store(context, tmp_path)
    assert not files(dataset_folder)


def admitted(owner, size):
    reservation = reserve_quota(owner, {"storage_bytes": size}, purpose="upload")
    return AdmittedUpload(reservation=reservation, size=size)


@pytest.mark.mission_critical("P4")
@pytest.mark.parametrize("size", [10, 100_000], ids=["less was set aside", "more was set aside"])
def test_an_admitted_upload_settles_what_was_set_aside(cast, tmp_path, size):
    with context_of(cast.alice) as context:
        dataset = store(context, tmp_path, admitted=admitted(context, size))
    assert storage_used(cast.alice) == dataset.stored_bytes
    assert not QuotaReservation.objects.exists()
    assert imbalances() == {}


@pytest.mark.mission_critical("P4")
def test_an_upload_that_turns_out_larger_than_what_is_left_is_not_kept(cast, tmp_path, dataset_folder):
    TierLimit.objects.filter(tier__slug="free", resource="storage_bytes").update(limit=100)
    with context_of(cast.carol) as context, pytest.raises(QuotaExceededError):
        store(context, tmp_path, admitted=admitted(context, 90))
    assert not files(dataset_folder)
    assert storage_used(cast.carol) == 0
    assert imbalances() == {}


@pytest.mark.mission_critical("P4")
def test_what_was_set_aside_for_someone_else_is_not_touched(cast, tmp_path):
    with context_of(cast.carol) as other:
        upload = admitted(other, 100_000)
    with context_of(cast.alice) as context:
        dataset = store(context, tmp_path, admitted=upload)
    assert storage_used(cast.alice) == dataset.stored_bytes
    assert QuotaUsage.objects.get(user=cast.carol).reserved == 100_000


def test_an_upload_whose_reservation_ended_counts_all_the_same(cast, tmp_path):
    with context_of(cast.alice) as context:
        upload = admitted(context, 100_000)
        release_quota(upload.reservation)
        dataset = store(context, tmp_path, admitted=upload)
    assert storage_used(cast.alice) == dataset.stored_bytes
    assert imbalances() == {}


def test_changed_storage_is_told_once_it_is_so(cast, tmp_path, changes):
    with context_of(cast.alice) as context:
        dataset = store(context, tmp_path)
        with pytest.raises(InvalidDatasetError):
            store(context, tmp_path, b"")
        delete_dataset(context, dataset.id)
    told = (cast.alice.id, cast.acme.id, ("storage_bytes", "cpu_seconds"))
    assert changes == [(*told, dataset.stored_bytes), (*told, 0)]


def test_an_import_takes_no_more_memory_than_its_user_may(cast, tmp_path):
    QuotaOverride.objects.create(tenant=cast.acme, resource="memory_bytes", limit=200_000, reason="small")
    with context_of(cast.alice) as context, pytest.raises(UnavailableError, match="memory"):
        store(context, tmp_path, GOOD + GOOD.splitlines(keepends=True)[1] * 50_000)
