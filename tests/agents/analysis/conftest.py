"""Sessions over real logs where they are on the machine, and over small logs written by tests."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agents.datasets import AnalysisSession, DatasetSource, import_file

SHARED_DATA = Path(__file__).parents[3].parent / "shared" / "data"
DATASET_ID = "0123456789abcdef"

OpenLog = Callable[..., AnalysisSession]


@pytest.fixture
def priced_at() -> datetime:
    """Give a fixed moment, so that list prices do not change under a test."""
    return datetime(2026, 11, 15, tzinfo=UTC)


@pytest.fixture
def open_log(tmp_path: Path) -> Iterator[OpenLog]:
    """Import a text and open it as the dataset `DATASET_ID`."""
    sessions: list[AnalysisSession] = []

    def run(content: str | Path, *, assumed_model: str | None = None) -> AnalysisSession:
        if isinstance(content, Path):
            source = content
        else:
            source = tmp_path / "log"
            source.write_text(content)
        stored = tmp_path / f"{len(sessions)}.parquet"
        imported = import_file(source, stored, filename="log")
        session = AnalysisSession(
            [
                DatasetSource(
                    id=DATASET_ID,
                    name="log",
                    path=stored,
                    assumed_model=assumed_model,
                    time_is_relative=imported.time_is_relative,
                    format=imported.format,
                    notes=imported.notes,
                )
            ],
            memory_limit_bytes=256 << 20,
        )
        sessions.append(session)
        return session

    yield run
    for session in sessions:
        session.close()


@pytest.fixture
def open_real_log(open_log: OpenLog) -> OpenLog:
    """Open a real log by its file name with gpt-4o assumed, or skip the test where it is absent."""

    def run(name: str) -> AnalysisSession:
        path = SHARED_DATA / name
        if not path.is_file():
            pytest.skip(f"{name} is not on this machine")
        return open_log(path, assumed_model="gpt-4o")

    return run


@pytest.fixture
def dataset_id() -> str:
    """Give the id of the dataset that `open_log` opens."""
    return DATASET_ID
