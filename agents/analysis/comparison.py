"""What exactly the same requests would cost on other models."""

from collections.abc import Sequence
from datetime import datetime

from agents.datasets.session import AnalysisSession

from .candidates import find_candidates
from .money import percent_of, round_usd
from .priced_dataset import Cell, PricedDataset, describe_cost
from .prices import ExactCost, ModelPrices, find_prices
from .results import CandidateCost, ModelComparison, SkippedModel

CAVEAT = (
    "Prices only: the same token counts are priced on each model. Answers differ in quality, and other "
    "tokenizers "
    "may count other tokens; try a sample of your own requests before you switch."
)
"""What no price comparison can say."""


def compare_models(
    session: AnalysisSession,
    dataset_id: str,
    *,
    assumed_model: str | None = None,
    candidates: Sequence[str] | None = None,
    priced_at: datetime,
) -> ModelComparison:
    """Price exactly the same requests on other models, cheapest first.

    Args:
        session: Where the dataset is open.
        dataset_id: Its id.
        assumed_model: Model for rows that name none; None takes the one stored with the dataset.
        candidates: Names of models; None takes well-known ones that are cheaper than now.
        priced_at: Moment whose list prices are used.

    Raises:
        NotFoundError: The session has no such dataset.

    """
    priced = PricedDataset(session, dataset_id, assumed_model=assumed_model, priced_at=priced_at)
    others, skipped = _look_up(candidates, priced.priced_at)
    cells = list(priced.cells(thresholds={limit for prices in others for limit in prices.thresholds}))
    baseline = priced.total_cost(cells)
    too_long = _count_too_long(priced, others)
    costs = [(prices, _cost_on(prices, cells)) for prices in others]
    if candidates is None:
        costs = [(prices, cost) for prices, cost in costs if cost.total < baseline.total]
    if not priced.prices:
        costs = []
    costs.sort(key=lambda pair: (pair[1].total, pair[0].name))
    return ModelComparison(
        dataset_id=priced.source.id,
        dataset_name=priced.source.name,
        priced_at=priced.priced_at,
        baseline=priced.baseline_label,
        baseline_cost=describe_cost(baseline),
        assumed_model=priced.assumed_model,
        assumed_requests=priced.assumed_requests,
        traffic=priced.priced_traffic,
        candidates=tuple(
            CandidateCost(
                model=prices.name,
                provider=prices.provider,
                cost=describe_cost(cost),
                saving_usd=round_usd(baseline.total - cost.total),
                saving_percent=percent_of(baseline.total - cost.total, baseline.total),
                price=prices.describe(),
                context_window=prices.context_window,
                requests_too_long=too_long.get(prices.context_window) if prices.context_window else None,
            )
            for prices, cost in costs
        ),
        skipped=tuple(skipped),
        unpriced=tuple(priced.unpriced),
        caveat=CAVEAT,
        notes=tuple(priced.notes()),
    )


def _look_up(
    candidates: Sequence[str] | None, priced_at: datetime
) -> tuple[list[ModelPrices], list[SkippedModel]]:
    if candidates is None:
        return find_candidates(priced_at=priced_at), []
    found: list[ModelPrices] = []
    skipped: list[SkippedModel] = []
    for name in dict.fromkeys(candidates):
        try:
            found.append(find_prices(name, priced_at=priced_at))
        except LookupError as error:
            skipped.append(SkippedModel(model=name, reason=str(error.args[0])))
    return found, skipped


def _cost_on(prices: ModelPrices, cells: Sequence[Cell]) -> ExactCost:
    return sum(
        (prices.cost(cell.tokens, above=cell.above, is_batch=cell.is_batch) for cell in cells), ExactCost()
    )


def _count_too_long(priced: PricedDataset, others: Sequence[ModelPrices]) -> dict[int | None, int]:
    windows = sorted({prices.context_window for prices in others if prices.context_window})
    sums = [
        f"CASE WHEN input_tokens + output_tokens > {window} * greatest(requests, 1) THEN requests ELSE 0 END"
        for window in windows
    ]
    counts: dict[int | None, int] = dict.fromkeys(windows, 0)
    for cell in priced.cells(sums=sums):
        for window, count in zip(windows, cell.extra, strict=True):
            counts[window] += count
    return counts
