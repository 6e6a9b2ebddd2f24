import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agents.models import Dataset
from agents.uploads import delete_dataset, store_dataset
from contexts.exceptions import (
    InvalidDatasetError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    QuotaExceededError,
)
from contexts.factory import UserContextFactory, managed_user_context
from contexts.models import Membership, QuotaUsage, TierLimit
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
