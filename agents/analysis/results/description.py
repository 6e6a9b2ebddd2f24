"""What a dataset holds."""

from typing import Any

from .base import Result, Usd
from .traffic import Distribution, TimeRange, Traffic


class Column(Result):
    """A column of the stored table."""

    name: str
    """Column name."""
    type: str
    """DuckDB type."""
    description: str
    """What it holds, with its unit."""


class ModelTraffic(Result):
    """What went to one model."""

    model: str | None
    """The model as the log names it; None for requests that name none."""
    traffic: Traffic
    """What went to it."""


class DatasetDescription(Result):
    """What a dataset holds, before any price."""

    dataset_id: str
    """Id of the dataset."""
    name: str
    """Name that the user gave it."""
    table: str
    """SQL name under which `query_dataset` knows it."""
    format: str
    """Stable name of the log's format."""
    columns: tuple[Column, ...]
    """The table's columns."""
    rows: int
    """Rows of the table: one a request, or one a usage bucket."""
    traffic: Traffic
    """Totals."""
    time: TimeRange
    """When."""
    input_tokens: Distribution
    """Input tokens per request."""
    output_tokens: Distribution
    """Output tokens per request."""
    models: tuple[ModelTraffic, ...]
    """The models that the log names, busiest first; at most 50."""
    names_models: bool
    """Whether any row names a model."""
    assumed_model: str | None
    """The model that the user said to assume where the log names none."""
    projects: int
    """How many different projects (teams, keys, users) the log names."""
    records_cost: bool
    """Whether the log itself tells costs."""
    recorded_cost_usd: Usd | None
    """Sum of the costs that the log tells; None when it tells none."""
    has_prefix_hashes: bool
    """Whether requests carry prompt block hashes, from which an ideal prompt cache can be computed."""
    notes: tuple[str, ...]
    """What a reader should know, as sentences."""
    sample_rows: tuple[dict[str, Any], ...]
    """The first 5 rows."""
