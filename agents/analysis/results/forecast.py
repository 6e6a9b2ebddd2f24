"""What the month will cost."""

from datetime import datetime

from .base import Result, Usd


class Forecast(Result):
    """The spend expected by the end of the month, or why it cannot be told."""

    dataset_id: str
    """Id of the dataset."""
    dataset_name: str
    """Name of the dataset."""
    priced_at: datetime
    """Moment whose list prices are used, UTC."""
    assumed_model: str | None
    """The model assumed where the log names none."""
    assumed_requests: int
    """Requests for which it was assumed."""
    has_enough_data: bool
    """False: only `reason`, `observed_days` and `required_days` mean anything."""
    reason: str | None
    """Why there is no forecast, as a sentence; None when there is one."""
    observed_days: float
    """Days that the log covers."""
    required_days: float
    """Days that a forecast needs."""
    target: str | None
    """What is forecast, such as `2026-05` or `30 days after the log's end`."""
    spent_usd: Usd | None
    """List price of what the log shows of the target so far."""
    expected_usd: Usd | None
    """Expected list price of the whole target."""
    low_usd: Usd | None
    """Lower end of the 90 % interval."""
    high_usd: Usd | None
    """Upper end of the 90 % interval."""
    daily_mean_usd: Usd | None
    """Mean list price of a full day."""
    method: str | None
    """How it was computed, as sentences."""
    notes: tuple[str, ...]
    """What a reader should know, as sentences."""
