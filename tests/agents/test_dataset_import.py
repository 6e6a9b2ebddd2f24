"""Importing within limits: in a process of its own, whose memory and CPU time are the user's."""

import os
from decimal import Decimal

import psutil
import pytest

from agents.dataset_import import import_for
from contexts.exceptions import InvalidDatasetError, QuotaExceededError
from contexts.factory import UserContextFactory, managed_user_context
from contexts.models import QuotaOverride, QuotaReservation, QuotaUsage
from contexts.quotas import use_quota
from tests.factories import make_cast

pytestmark = pytest.mark.django_db(transaction=True)
HEADER = "created_at,model,prompt_tokens,completion_tokens\n"
MEBIBYTE = 2**20


@pytest.fixture
def carol():
    """A member of a tenant on the free tier: 256 MiB, 60 CPU seconds a day."""
    user = make_cast().carol
    with managed_user_context(UserContextFactory().for_request(user.id)) as context:
        yield context


def cpu():
    counter = QuotaUsage.objects.get(resource="cpu_seconds")
    return counter.used, counter.reserved


def write_log(folder, rows):
    file = folder / "log.csv"
    line = "2026-01-01T00:00:00Z,gpt-4o,1000,100\n"
    with file.open("w") as log:
        log.write(HEADER)
        for _ in range(rows // 1_000):
            log.write(line * 1_000)
    return file


def test_an_import_uses_cpu_seconds_and_leaves_nothing_reserved(carol, tmp_path):
    imported = import_for(
        carol, write_log(tmp_path, 400_000), tmp_path / "stored.parquet", filename="log.csv"
    )
    assert imported.rows == 400_000
    used, reserved = cpu()
    assert Decimal("0.05") < used < 60
    assert reserved == 0
    assert not QuotaReservation.objects.exists()


def test_a_file_that_is_refused_has_used_its_cpu_seconds_all_the_same(carol, tmp_path):
    file = tmp_path / "log.csv"
    file.write_text("a,b\n1,2\n" * 200_000)
    with pytest.raises(InvalidDatasetError):
        import_for(carol, file, tmp_path / "stored.parquet", filename="log.csv")
    assert cpu()[0] > 0
    assert cpu()[1] == 0


def test_a_file_that_swells_in_memory_is_refused_and_this_process_stays_small(carol, tmp_path):
    file = tmp_path / "log.json"
    row = '{"a":[' + "[]," * 2_500_000 + "[]]}"
    file.write_text(f"[{row},{row},{row},{row}]")
    before = psutil.Process(os.getpid()).memory_info().rss
    with pytest.raises((QuotaExceededError, InvalidDatasetError)):
        import_for(carol, file, tmp_path / "stored.parquet", filename="log.json")
    assert psutil.Process(os.getpid()).memory_info().rss - before < 100 * MEBIBYTE
    assert [each.name for each in tmp_path.iterdir()] == ["log.json"]
    assert not QuotaReservation.objects.exists()


def test_an_import_ends_with_the_cpu_seconds_of_its_user(carol, tmp_path):
    QuotaOverride.objects.create(tenant_id=carol.tenant_id, resource="cpu_seconds", limit=1, reason="a test")
    file = write_log(tmp_path, 6_000_000)
    with pytest.raises(QuotaExceededError):
        import_for(carol, file, tmp_path / "stored.parquet", filename="log.csv")
    assert [each.name for each in tmp_path.iterdir()] == ["log.csv"]
    assert cpu() == (1, 0)
    with pytest.raises(QuotaExceededError) as refusal:
        import_for(carol, write_log(tmp_path, 1_000), tmp_path / "stored.parquet", filename="log.csv")
    assert refusal.value.resource == "cpu_seconds"


def test_without_cpu_seconds_nothing_is_imported(carol, tmp_path):
    use_quota(carol, {"cpu_seconds": 60})
    with pytest.raises(QuotaExceededError) as refusal:
        import_for(carol, write_log(tmp_path, 1_000), tmp_path / "stored.parquet", filename="log.csv")
    assert refusal.value.resource == "cpu_seconds"
    assert not (tmp_path / "stored.parquet").exists()
