"""List prices of models from genai-prices, reduced to what a log's token counts need.

genai-prices prices one request at a time, with tiers that a request reaches by its own number of input
tokens and that then hold for all of its tokens. `ModelPrices` keeps the tiers of input, cached input and
output, so that all requests of the same tier can be priced by their sums: exactly what
`genai_prices.calc_price` gives for each, added.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from genai_prices import Usage
from genai_prices.data_snapshot import DataSnapshot, get_snapshot
from genai_prices.types import ModelInfo, ModelPrice, Provider, TieredPrices, TimeOfDateConstraint

from .results import PricedModel

_MILLION = Decimal(1_000_000)
_THOUSAND = Decimal(1_000)
_BATCH = {"processing": "batch"}
_BEDROCK_NAME = re.compile(
    r"^([a-z]+\.)?(ai21|amazon|anthropic|cohere|deepseek|meta|mistral)\.", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Tier:
    """Prices in USD per million tokens for requests above a number of input tokens."""

    above: int
    """The tier holds for requests with more input tokens than this; -1 for the base tier."""
    input: Decimal
    cached_input: Decimal
    output: Decimal


@dataclass(frozen=True, slots=True)
class Tokens:
    """Sums over requests of one tier."""

    requests: int
    input_tokens: int
    """Cached ones included."""
    cached_input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class ExactCost:
    """A list price and its parts in USD, unrounded."""

    input: Decimal = Decimal(0)
    cached_input: Decimal = Decimal(0)
    output: Decimal = Decimal(0)
    request_fees: Decimal = Decimal(0)

    @property
    def total(self) -> Decimal:
        """The sum of the parts."""
        return self.input + self.cached_input + self.output + self.request_fees

    def __add__(self, other: "ExactCost") -> "ExactCost":
        """Add part by part."""
        return ExactCost(
            self.input + other.input,
            self.cached_input + other.cached_input,
            self.output + other.output,
            self.request_fees + other.request_fees,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPrices:
    """The list prices of one model at one moment."""

    name: str
    """The name by which it was looked up."""
    provider: str
    """The provider's id in genai-prices."""
    price_model: str
    """The model's id in genai-prices."""
    standard: tuple[Tier, ...]
    """Tiers of usual processing, base tier first."""
    batch: tuple[Tier, ...] | None
    """Tiers of batch processing; None when no batch price is listed."""
    request_fee: Decimal
    """USD per request."""
    lists_cached_price: bool
    """Whether cached input has a price of its own."""
    context_window: int | None
    """Longest input in tokens, where known."""
    is_deprecated: bool
    """Whether the provider advises against it."""

    @property
    def thresholds(self) -> frozenset[int]:
        """Numbers of input tokens above which a request is in another tier."""
        return frozenset(tier.above for tier in (*self.standard, *(self.batch or ())) if tier.above >= 0)

    def cost(self, tokens: Tokens, *, above: int = -1, is_batch: bool = False) -> ExactCost:
        """Price requests that each have more than `above` input tokens and reach no higher threshold.

        Batch requests to a model without a batch price are priced as usual ones.
        """
        tiers = self.batch if is_batch and self.batch else self.standard
        tier = next(tier for tier in reversed(tiers) if tier.above <= above)
        return ExactCost(
            input=tier.input * (tokens.input_tokens - tokens.cached_input_tokens) / _MILLION,
            cached_input=tier.cached_input * tokens.cached_input_tokens / _MILLION,
            output=tier.output * tokens.output_tokens / _MILLION,
            request_fees=self.request_fee * tokens.requests,
        )

    def describe(self) -> PricedModel:
        """Give the base prices as a result."""
        base, batch = self.standard[0], self.batch[0] if self.batch else None
        return PricedModel(
            name=self.name,
            provider=self.provider,
            price_model=self.price_model,
            input_usd_per_million=base.input,
            cached_input_usd_per_million=base.cached_input if self.lists_cached_price else None,
            output_usd_per_million=base.output,
            batch_input_usd_per_million=batch.input if batch else None,
            batch_output_usd_per_million=batch.output if batch else None,
            is_tiered=len(self.standard) > 1,
            context_window=self.context_window,
        )


def find_prices(name: str, provider: str | None = None, *, priced_at: datetime) -> ModelPrices:
    """Look up the list prices of the model `name` at the moment `priced_at`.

    `name` may carry its provider before a slash (`azure/gpt-4o`). A price that depends on the time of day
    is the dearest of the day of `priced_at`
    (UTC), so that it does not depend on the hour of asking: requests made off-peak cost less than this.

    Raises:
        LookupError: genai-prices does not know the model, or does not price it by tokens.

    """
    snapshot = get_snapshot()
    owner, model = _find_model(snapshot, name, provider)
    usage = Usage(input_tokens=1, output_tokens=1)
    moment = _dearest_moment(model, priced_at)
    standard = model.calc_price(usage, owner, genai_request_timestamp=moment).model_price
    if standard.input_mtok is None:
        raise LookupError(f"{name} is not priced by tokens.")
    batch = model.calc_price(usage, owner, genai_request_timestamp=moment, price_context=_BATCH).model_price
    tiers, batch_tiers = _tiers(standard), _tiers(batch)
    request_fee = standard.requests_kcount
    return ModelPrices(
        name=name,
        provider=owner.id,
        price_model=model.id,
        standard=tiers,
        batch=None if batch_tiers == tiers else batch_tiers,
        request_fee=request_fee / _THOUSAND if isinstance(request_fee, Decimal) else Decimal(0),
        lists_cached_price=standard.cache_read_mtok is not None,
        context_window=model.context_window,
        is_deprecated=bool(model.deprecated),
    )


def _find_model(snapshot: DataSnapshot, name: str, provider: str | None) -> tuple[Provider, ModelInfo]:
    attempts: list[tuple[str, str | None]] = []
    prefix, slash, rest = name.partition("/")
    if provider:
        attempts.append((name, provider))
        if slash:
            attempts.append((rest, provider))
    if slash:
        attempts.append((rest, prefix))
    attempts.append((name, None))
    if _BEDROCK_NAME.match(name):
        attempts.append((name, "aws"))
    for model_name, provider_id in attempts:
        try:
            return snapshot.find_provider_model(model_name, None, provider_id, None)
        except LookupError:
            continue  # The next spelling may be known; when none is, the error below tells.
    raise LookupError(f"No list price is known for {name}.")


def _dearest_moment(model: ModelInfo, priced_at: datetime) -> datetime:
    """Return the moment of the day of `priced_at` (UTC) at which the model costs most."""
    conditions = [*(model.prices if isinstance(model.prices, list) else ()), *(model.price_variants or ())]
    hours = [
        moment
        for condition in conditions
        if isinstance(condition.constraint, TimeOfDateConstraint)
        for moment in (condition.constraint.start_time, condition.constraint.end_time)
    ]
    if not hours:
        return priced_at
    day = (priced_at.astimezone(UTC) if priced_at.tzinfo else priced_at).date()
    moments = sorted(datetime.combine(day, hour.replace(tzinfo=hour.tzinfo or UTC)) for hour in hours)

    def base_prices(moment: datetime) -> tuple[Decimal, Decimal]:
        prices = model.get_prices(moment)
        return _price_above(prices.output_mtok, -1), _price_above(prices.input_mtok, -1)

    return max(moments, key=base_prices)


def _tiers(price: ModelPrice) -> tuple[Tier, ...]:
    cached = price.input_mtok if price.cache_read_mtok is None else price.cache_read_mtok
    parts = (price.input_mtok, cached, price.output_mtok)
    starts = {tier.start for part in parts if isinstance(part, TieredPrices) for tier in part.tiers}
    return tuple(
        Tier(start, *(_price_above(part, start) for part in parts)) for start in (-1, *sorted(starts))
    )


def _price_above(price: Decimal | TieredPrices | None, above: int) -> Decimal:
    if price is None:
        return Decimal(0)
    if isinstance(price, Decimal):
        return price
    return next((tier.price for tier in reversed(price.tiers) if tier.start <= above), price.base)
