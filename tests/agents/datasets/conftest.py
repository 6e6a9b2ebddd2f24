"""Files to import: real logs where they are on the machine, and small ones written by tests."""

from collections.abc import Callable
from pathlib import Path

import pytest

from agents.datasets import DatasetSource, ImportedDataset, import_file

SHARED_DATA = Path(__file__).parents[3].parent / "shared" / "data"


@pytest.fixture
def real_log() -> Callable[[str], Path]:
    """Give the path of a real log, or skip the test where it is absent."""

    def find(name: str) -> Path:
        path = SHARED_DATA / name
        if not path.is_file():
            pytest.skip(f"{name} is not on this machine")
        return path

    return find


@pytest.fixture
def import_bytes(tmp_path: Path) -> Callable[..., ImportedDataset]:
    """Import a file with the given content to `stored.parquet` in the test's folder."""

    def run(content: bytes | str) -> ImportedDataset:
        source = tmp_path / "upload"
        source.write_bytes(content.encode() if isinstance(content, str) else content)
        return import_file(source, tmp_path / "stored.parquet", filename="log")

    return run


@pytest.fixture
def source(tmp_path: Path) -> DatasetSource:
    """Return a stored log of one request."""
    log = tmp_path / "log.csv"
    log.write_text("model,input_tokens,output_tokens\ngpt-4o,10,1\n")
    import_file(log, tmp_path / "log.parquet", filename="log.csv")
    return DatasetSource(
        id="0123456789abcdef",
        name="log",
        path=tmp_path / "log.parquet",
        assumed_model=None,
        time_is_relative=False,
        format="plain_table",
    )
