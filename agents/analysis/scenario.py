"""The same traffic priced under measures: smaller models, an ideal cache, batch processing."""

# ruff: noqa: S608 (the SQL is made of our own names and numbers; other text is quoted or a parameter)

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from .caching import with_ideal_cache
from .candidates import find_smaller_sibling
from .priced_dataset import Cell, ModelKey, PricedDataset
from .prices import ExactCost, ModelPrices, Tokens

_SIZE = "(input_tokens + output_tokens)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """Which measures are taken."""

    smaller_models: bool = False
    """Whether small requests go to their model's smaller sibling."""
    ideal_cache: bool = False
    """Whether prefixes are cached ideally."""
    batch_share: Decimal = Decimal(0)
    """Part of the requests, 0 to 1, that go through batch processing where it has a price."""


class Scenarios:
    """All sums that any combination of measures needs, read once."""

    def __init__(self, priced: PricedDataset, *, small_share: float) -> None:
        """Read the sums; `small_share` of the requests (0 to 1), the shortest ones, count as small."""
        self._priced = priced
        self.siblings: dict[ModelKey, ModelPrices] = {
            key: sibling
            for key, prices in priced.prices.items()
            if (sibling := find_smaller_sibling(prices, priced_at=priced.priced_at)) is not None
        }
        self.small_limit = self._find_small_limit(small_share)
        ((hashed,),) = priced.session.fetch(f"SELECT count(prefix_hashes) FROM {priced.table}")
        self.has_hashes: bool = hashed > 0
        self._cells = self._read_cells()

    def _find_small_limit(self, share: float) -> int:
        """Find the size (input and output tokens) that `share` of the requests do not exceed."""
        ((limit,),) = self._priced.session.fetch(
            f"SELECT quantile_disc({_SIZE} // greatest(requests, 1), ?) FROM {self._priced.table}", [share]
        )
        return int(limit)

    def _read_cells(self) -> list[Cell]:
        is_small = f"{_SIZE} <= {self.small_limit} * greatest(requests, 1)"
        source = None
        sums = ["cached_input_tokens", "cached_input_tokens"]
        if self.has_hashes:
            # A cache belongs to one model, so moving small requests elsewhere splits it.
            model = "coalesce(provider, '') || '/' || coalesce(model, '')"
            source = with_ideal_cache(
                self._priced.table,
                partitions={"ideal_cached": model, "ideal_cached_apart": f"{model} || ({is_small})::VARCHAR"},
            )
            sums = ["ideal_cached", "ideal_cached_apart"]
        thresholds = {limit for prices in self.siblings.values() for limit in prices.thresholds}
        return list(self._priced.cells([is_small], thresholds=thresholds, sums=sums, source=source))

    def moved_cells(self) -> Iterable[Cell]:
        """Give the sums of the small requests that have a smaller sibling to go to."""
        return (cell for cell in self._cells if cell.group[0] and cell.key in self.siblings)

    def ideal_cached_tokens(self) -> int:
        """Count the input tokens that an ideal cache, or the recorded one, serves."""
        return sum(cell.extra[0] for cell in self._cells)

    def batchable(self, prices: ModelPrices, cell: Cell) -> bool:
        """Tell whether the requests of `cell`, sent to the model of `prices`, could still move to batch."""
        return prices.batch is not None and not cell.is_batch

    def batchable_requests(self) -> int:
        """Count the requests that could still move to batch processing at their own model."""
        return sum(
            cell.tokens.requests
            for cell in self._cells
            if self.batchable(self._priced.prices[cell.key], cell)
        )

    def batchable_tokens(self) -> int:
        """Count the input and output tokens of those requests."""
        return sum(
            cell.tokens.input_tokens + cell.tokens.output_tokens
            for cell in self._cells
            if self.batchable(self._priced.prices[cell.key], cell)
        )

    def cost(self, measures: Measures) -> ExactCost:
        """Price the whole traffic under `measures`, exactly, request by request's tier."""
        return sum((self._cost_of(cell, measures) for cell in self._cells), ExactCost())

    def cost_without_cache(self) -> ExactCost:
        """Price the whole traffic as if nothing had been cached."""
        return sum(
            (self._price(self._priced.prices[cell.key], cell, 0, cell.is_batch) for cell in self._cells),
            ExactCost(),
        )

    def _cost_of(self, cell: Cell, measures: Measures) -> ExactCost:
        prices = self._priced.prices[cell.key]
        if measures.smaller_models and cell.group[0]:
            prices = self.siblings.get(cell.key, prices)
        cached = cell.tokens.cached_input_tokens
        if measures.ideal_cache and prices.lists_cached_price:
            cached = cell.extra[1] if measures.smaller_models and cell.key in self.siblings else cell.extra[0]
        usual = self._price(prices, cell, cached, cell.is_batch)
        if not measures.batch_share or not self.batchable(prices, cell):
            return usual
        batch = self._price(prices, cell, cached, True)
        if batch.total >= usual.total:
            return usual
        return _scale(usual, 1 - measures.batch_share) + _scale(batch, measures.batch_share)

    @staticmethod
    def _price(prices: ModelPrices, cell: Cell, cached: int, is_batch: bool) -> ExactCost:
        counts = cell.tokens
        tokens = Tokens(counts.requests, counts.input_tokens, cached, counts.output_tokens)
        return prices.cost(tokens, above=cell.above, is_batch=is_batch)


def _scale(cost: ExactCost, factor: Decimal) -> ExactCost:
    return ExactCost(
        cost.input * factor, cost.cached_input * factor, cost.output * factor, cost.request_fees * factor
    )
