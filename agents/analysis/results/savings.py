"""How to pay less."""

from datetime import datetime
from typing import Literal

from .base import Level, OptionKind, Result, Usd
from .spend import Projection
from .traffic import Cost, Traffic, UnpricedModel


class SavingsOption(Result):
    """One way to pay less for the same traffic, taken by itself."""

    rank: int
    """1 saves most."""
    kind: OptionKind
    """What kind of change."""
    title: str
    """The change in one line."""
    model: str | None
    """The model to move to, for `cheaper_model`."""
    affected_requests: int
    """Requests that it touches (for `batch`: expected number)."""
    affected_tokens: int
    """`prompt_caching`: input tokens served from the cache; else input and output of those requests."""
    baseline_cost_usd: Usd
    """List price of all priced requests without it."""
    saving_usd: Usd
    """What it saves of that, on the traffic of the log."""
    saving_percent: float
    """`saving_usd` in percent of `baseline_cost_usd`."""
    monthly_saving_usd: Usd | None
    """`saving_usd` times the projection's factor; None when nothing can be projected."""
    effort: Level
    """Work to put it in place."""
    risk: Level
    """What may be lost by it."""
    risk_note: str
    """What exactly, as a sentence."""
    assumptions: tuple[str, ...]
    """What the figure rests on, as sentences."""
    formula: str
    """The computation with its numbers."""
    steps: tuple[str, ...]
    """What to do, in order."""


class UnavailableOption(Result):
    """A way to pay less that this log gives no figure for."""

    kind: OptionKind
    """What kind of change."""
    reason: str
    """Why there is no figure, and what would give one, as sentences."""


class CombinedStep(Result):
    """One option applied to what the options before it left."""

    kind: OptionKind
    """Which option."""
    cost_before_usd: Usd
    """List price before it."""
    saving_usd: Usd
    """What it still saves."""
    cost_after_usd: Usd
    """List price after it."""


class CombinedSaving(Result):
    """All options together, no dollar counted twice."""

    steps: tuple[CombinedStep, ...]
    """In the order they were applied."""
    cost_after_usd: Usd
    """List price with all of them."""
    saving_usd: Usd
    """Baseline minus that."""
    saving_percent: float
    """`saving_usd` in percent of the baseline."""
    monthly_saving_usd: Usd | None
    """`saving_usd` times the projection's factor."""
    method: str
    """How double counting is avoided, as a sentence."""


class BatchFigures(Result):
    """The saving of batch processing at both the stated share and all of the traffic."""

    share: float
    """Part of the requests assumed able to wait, 0 to 1."""
    saving_usd: Usd
    """Saving at that share."""
    full_cost_usd: Usd
    """List price if every request went through the batch interface."""
    full_saving_usd: Usd
    """Saving if every request did."""
    full_saving_percent: float
    """The same in percent of the baseline."""


class CachingFigures(Result):
    """What prompt caching does or could do."""

    basis: Literal["prefix_hashes", "recorded", "unknown"]
    """Computed from the prompts' block hashes, read from the log's cached tokens, or not knowable."""
    cacheable_tokens: int
    """`prefix_hashes`: tokens an ideal cache would serve; `recorded`: tokens already served; else 0."""
    cacheable_share: float
    """The same as part of all priced input tokens, 0 to 1."""
    already_saved_usd: Usd
    """What the cached tokens recorded in the log already save against the full input price."""
    possible_saving_usd: Usd | None
    """What an ideal cache would save beyond that; None when it cannot be known."""


class SavingsPlan(Result):
    """Ranked ways to pay less for the traffic of one log."""

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
    """The priced requests."""
    options: tuple[SavingsOption, ...]
    """Each by itself, largest saving first; they overlap, see `combined`."""
    unavailable: tuple[UnavailableOption, ...]
    """Options without a figure, and why."""
    batch: BatchFigures | None
    """None when no batch price is listed for any model in use."""
    caching: CachingFigures
    """What caching does or could do."""
    combined: CombinedSaving | None
    """All options together; None when there is no option."""
    projection: Projection | None
    """How a month is reckoned; None when it cannot be."""
    unpriced: tuple[UnpricedModel, ...]
    """Traffic left out because its model has no list price."""
    caveat: str
    """What the plan does not say."""
    notes: tuple[str, ...]
    """What a reader should know, as sentences."""
