"""What other models would cost."""

from datetime import datetime

from .base import Result, Usd
from .traffic import Cost, PricedModel, Traffic, UnpricedModel


class CandidateCost(Result):
    """What the same requests cost on another model."""

    model: str
    """Name of the model."""
    provider: str
    """Whose price list is used."""
    cost: Cost
    """List price of exactly the same requests."""
    saving_usd: Usd
    """Baseline minus this cost; negative when dearer."""
    saving_percent: float
    """`saving_usd` in percent of the baseline."""
    price: PricedModel
    """The list prices used."""
    context_window: int | None
    """Longest input in tokens, where known."""
    requests_too_long: int | None
    """Requests whose input and output exceed that window; None where the window is not known."""


class SkippedModel(Result):
    """A model that was left out."""

    model: str
    """Name of the model."""
    reason: str
    """Why, as a sentence."""


class ModelComparison(Result):
    """What exactly the same requests cost on other models."""

    dataset_id: str
    """Id of the dataset."""
    dataset_name: str
    """Name of the dataset."""
    priced_at: datetime
    """Moment whose list prices are used, UTC."""
    baseline: str
    """The model or models in use now, such as `gpt-4o (assumed)`."""
    baseline_cost: Cost
    """List price now, of the priced requests."""
    assumed_model: str | None
    """The model assumed where the log names none."""
    assumed_requests: int
    """Requests for which it was assumed."""
    traffic: Traffic
    """The requests compared: those with a list price."""
    candidates: tuple[CandidateCost, ...]
    """The other models, cheapest first."""
    skipped: tuple[SkippedModel, ...]
    """Models asked for that could not be compared."""
    unpriced: tuple[UnpricedModel, ...]
    """Traffic left out because its own model has no list price."""
    caveat: str
    """What the comparison does not say: nothing about quality."""
    notes: tuple[str, ...]
    """What a reader should know, as sentences."""
