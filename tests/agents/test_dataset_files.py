"""A dataset's file goes with its row, whoever deletes that, and stays when the deletion does not last."""

import pytest
from django.db import transaction

from agents.models import Dataset
from contexts.models import Tenant, User
from tests.factories import Cast, make_cast, make_dataset

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def cast(settings, tmp_path) -> Cast:
    settings.DATASET_DIR = tmp_path / "datasets"
    return make_cast()


def stored(user: User) -> Dataset:
    dataset = make_dataset(user)
    dataset.path.parent.mkdir(parents=True, exist_ok=True)
    dataset.path.write_bytes(b"PAR1")
    return dataset


@pytest.mark.parametrize("owner_of", ["user", "tenant"])
def test_the_files_of_a_deleted_owner_are_deleted(cast, owner_of):
    dataset, other = stored(cast.alice), stored(cast.carol)
    getattr(dataset, owner_of).delete()
    assert not Dataset.objects.filter(id=dataset.id).exists()
    assert not dataset.path.exists()
    assert other.path.exists()


def test_the_files_of_several_deleted_tenants_are_deleted(cast):
    datasets = [stored(cast.alice), stored(cast.bob), stored(cast.carol)]
    Tenant.objects.all().delete()
    assert not any(dataset.path.exists() for dataset in datasets)


def test_a_deletion_that_is_rolled_back_keeps_the_file(cast):
    dataset = stored(cast.alice)
    with transaction.atomic():
        cast.alice.delete()
        transaction.set_rollback(True)
    assert Dataset.objects.filter(id=dataset.id).exists()
    assert dataset.path.exists()


def test_a_file_that_is_gone_already_keeps_nobody_from_deleting(cast):
    dataset = make_dataset(cast.alice)
    cast.alice.delete()
    assert not Dataset.objects.filter(id=dataset.id).exists()
