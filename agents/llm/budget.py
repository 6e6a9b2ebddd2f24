"""What a run's models may still use, and what they have used."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

from pydantic_ai import ModelResponse
from pydantic_ai.models import Model

from agents.analysis.prices import ModelPrices, Tokens, find_prices
from agents.llm.models import is_metered
from agents.usage import Usage
from contexts.metering import QuotaMeter, Taken
from contexts.resources import Resource
from contexts.signals import quotas_changed

MODEL_RESOURCES = (Resource.TOKENS, Resource.COST_USD)


@dataclass(slots=True)
class ModelBudget:
    """One run's model calls: each is reserved before it is made, and counted after."""

    meter: QuotaMeter
    usage: Usage = field(default_factory=Usage)
    """What the models have used so far."""
    notices: list[str] = field(default_factory=list)
    """What the user is to be told, oldest first; whoever tells it takes it away."""
    has_fallen_back: bool = False
    """Whether the user was told of the cheaper model."""

    @property
    def is_past_soft_limit(self) -> bool:
        """Tell whether so much is used that the cheaper model is due."""
        standing = (self.meter.standing.get(resource) for resource in MODEL_RESOURCES)
        return any(quota is not None and quota.used >= quota.soft_limit > 0 for quota in standing)

    def note_fallback(self, model: Model) -> None:
        """Have the user told, once, that the cheaper model goes on."""
        if not self.has_fallen_back:
            self.has_fallen_back = True
            self.notices.append(f"Most of the quota is used: {model.model_name}, a cheaper model, goes on.")

    async def reserve(self, model: Model, *, input_tokens: int, output_tokens: int) -> Taken:
        """Set aside what a call may use at most; nothing for a model that costs nothing.

        Raises:
            QuotaExceededError: when tokens or money do not suffice.
        """
        if not is_metered(model):
            return {}
        cost = list_price(model.model_name, input_tokens=input_tokens, output_tokens=output_tokens)
        return await self.meter.take(_amounts(input_tokens + output_tokens, cost))

    async def count(self, taken: Taken, used: Usage) -> None:
        """Count what a call has really used of what was set aside for it."""
        self.usage += used
        tokens = used.input_tokens + used.output_tokens
        await self.meter.put_back(taken, _amounts(tokens, used.cost_usd))
        if tokens:
            owner = self.meter.reservation
            quotas_changed.send_robust(
                sender=ModelBudget,
                user_id=owner.user_id,
                tenant_id=owner.tenant_id,
                resources=MODEL_RESOURCES,
            )


def usage_of(response: ModelResponse) -> Usage:
    """Return what the provider says that a response used, at list price; 0 USD where none is known."""
    try:
        cost = Decimal(response.cost().total_price)
    except (LookupError, ValueError):
        cost = Decimal(0)
    return Usage(
        input_tokens=response.usage.input_tokens,
        output_tokens=response.usage.output_tokens,
        cost_usd=cost,
    )


def list_price(model_name: str, *, input_tokens: int, output_tokens: int) -> Decimal:
    """Return the list price of one call in USD; 0 where none is known."""
    try:
        prices: ModelPrices = find_prices(model_name, priced_at=datetime.now(UTC))
    except LookupError:
        return Decimal(0)
    above = max((limit for limit in prices.thresholds if limit < input_tokens), default=-1)
    tokens = Tokens(requests=1, input_tokens=input_tokens, cached_input_tokens=0, output_tokens=output_tokens)
    return prices.cost(tokens, above=above).total


def _amounts(tokens: int, cost: Decimal) -> Mapping[str, Decimal | int]:
    return {Resource.TOKENS: tokens, Resource.COST_USD: cost} if cost else {Resource.TOKENS: tokens}
