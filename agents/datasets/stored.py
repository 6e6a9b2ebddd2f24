"""What is known of a dataset that was imported and stored."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSource:
    """A stored dataset that a session shall open."""

    id: str
    """Id of the dataset."""
    name: str
    """Name that its user gave it."""
    path: Path
    """The Parquet file written by `import_file`."""
    assumed_model: str | None
    """Model to assume for rows that name none."""
    time_is_relative: bool
    """Whether times count from the log's own start."""
    format: str
    """Stable name of the log's format."""
    notes: tuple[str, ...] = ()
    """What the import noted."""
