"""Ranked ways to pay less for the traffic of a log, each by itself and all together."""

from datetime import datetime
from decimal import Decimal

from agents.datasets.session import AnalysisSession
from contexts.exceptions import InvalidRequestError

from .money import percent_of, round_usd, share_of
from .priced_dataset import PricedDataset, describe_cost
from .projection import project_month
from .results import (
    BatchFigures,
    CachingFigures,
    CombinedSaving,
    CombinedStep,
    OptionKind,
    Projection,
    SavingsOption,
    SavingsPlan,
    UnavailableOption,
)
from .savings_options import OptionContext, batch_option, caching_option, cheaper_model_option
from .scenario import Measures, Scenarios
from .times import read_times

DEFAULT_BATCH_SHARE = 0.5
"""Part of the requests assumed able to wait for batch processing, where the user says nothing."""

DEFAULT_SMALL_SHARE = 0.5
"""Part of the requests, the shortest ones, assumed fit for a smaller model, where the user says nothing."""

_CAVEAT = (
    "List prices on the traffic of the log; discounts of your contract are not known. A smaller model may "
    "answer "
    "worse and batch processing may take up to 24 hours: both fit only part of the traffic."
)
_COMBINED_METHOD = (
    "The measures are applied one after the other (smaller model, then caching, then batch), and each is "
    "priced on "
    "the requests as the measures before it left them, so no dollar is counted twice; a cache is not shared "
    "between "
    "models."
)


def savings_plan(
    session: AnalysisSession,
    dataset_id: str,
    *,
    assumed_model: str | None = None,
    batch_share: float | None = None,
    small_model_share: float | None = None,
    priced_at: datetime,
) -> SavingsPlan:
    """Work out what cheaper models, prompt caching and batch processing would save on a dataset's traffic.

    Args:
        session: Where the dataset is open.
        dataset_id: Its id.
        assumed_model: Model for rows that name none; None takes the one stored with the dataset.
        batch_share: Part of the requests that may wait up to a day, 0 to 1; None takes `DEFAULT_BATCH_SHARE`.
        small_model_share: Part of the requests, the shortest ones, that may go to a smaller model, 0 to 1;
        None
            takes `DEFAULT_SMALL_SHARE`.
        priced_at: Moment whose list prices are used.

    Raises:
        NotFoundError: The session has no such dataset.
        InvalidRequestError: A share is not between 0 and 1.

    """
    waiting = _check_share("batch_share", batch_share, DEFAULT_BATCH_SHARE)
    small = _check_share("small_model_share", small_model_share, DEFAULT_SMALL_SHARE)
    priced = PricedDataset(session, dataset_id, assumed_model=assumed_model, priced_at=priced_at)
    scenarios = Scenarios(priced, small_share=small)
    baseline = scenarios.cost(Measures())
    projection = project_month(baseline.total, read_times(session, dataset_id))
    context = OptionContext(
        priced=priced,
        scenarios=scenarios,
        baseline=baseline.total,
        projection=projection,
        batch_share=waiting,
        small_share=small,
    )
    found = [cheaper_model_option(context), caching_option(context), batch_option(context)]
    options = sorted(
        (option for option in found if isinstance(option, SavingsOption)),
        key=lambda option: (-option.saving_usd, option.kind),
    )
    return SavingsPlan(
        dataset_id=priced.source.id,
        dataset_name=priced.source.name,
        priced_at=priced.priced_at,
        baseline=priced.baseline_label,
        baseline_cost=describe_cost(baseline),
        assumed_model=priced.assumed_model,
        assumed_requests=priced.assumed_requests,
        traffic=priced.priced_traffic,
        options=tuple(
            option.model_copy(update={"rank": rank}) for rank, option in enumerate(options, start=1)
        ),
        unavailable=tuple(option for option in found if isinstance(option, UnavailableOption)),
        batch=_batch_figures(scenarios, baseline.total, waiting),
        caching=_caching_figures(priced, scenarios, baseline.total),
        combined=_combine(
            scenarios, baseline.total, {option.kind for option in options}, waiting, projection
        ),
        projection=projection,
        unpriced=tuple(priced.unpriced),
        caveat=_CAVEAT,
        notes=tuple(priced.notes()),
    )


def _check_share(name: str, share: float | None, default: float) -> float:
    if share is None:
        return default
    if not 0 <= share <= 1:
        raise InvalidRequestError(f"{name} has to be between 0 and 1, and is {share}.")
    return share


def _batch_figures(scenarios: Scenarios, baseline: Decimal, share: float) -> BatchFigures | None:
    full = scenarios.cost(Measures(batch_share=Decimal(1))).total
    if full >= baseline:
        return None
    partly = scenarios.cost(Measures(batch_share=Decimal(str(share)))).total
    return BatchFigures(
        share=share,
        saving_usd=round_usd(baseline - partly),
        full_cost_usd=round_usd(full),
        full_saving_usd=round_usd(baseline - full),
        full_saving_percent=percent_of(baseline - full, baseline),
    )


def _caching_figures(priced: PricedDataset, scenarios: Scenarios, baseline: Decimal) -> CachingFigures:
    traffic = priced.priced_traffic
    already = round_usd(scenarios.cost_without_cache().total - baseline)
    if scenarios.has_hashes:
        tokens = scenarios.ideal_cached_tokens()
        possible = round_usd(baseline - scenarios.cost(Measures(ideal_cache=True)).total)
        share = share_of(Decimal(tokens), Decimal(traffic.input_tokens))
        return CachingFigures(
            basis="prefix_hashes",
            cacheable_tokens=tokens,
            cacheable_share=share,
            already_saved_usd=already,
            possible_saving_usd=possible,
        )
    return CachingFigures(
        basis="recorded" if traffic.cached_input_tokens else "unknown",
        cacheable_tokens=traffic.cached_input_tokens,
        cacheable_share=share_of(Decimal(traffic.cached_input_tokens), Decimal(traffic.input_tokens)),
        already_saved_usd=already,
        possible_saving_usd=None,
    )


def _combine(
    scenarios: Scenarios,
    baseline: Decimal,
    kinds: set[OptionKind],
    batch_share: float,
    projection: Projection | None,
) -> CombinedSaving | None:
    if not kinds:
        return None
    smaller = "cheaper_model" in kinds
    cached = "prompt_caching" in kinds
    stages: tuple[tuple[OptionKind, Measures], ...] = (
        ("cheaper_model", Measures(smaller_models=smaller)),
        ("prompt_caching", Measures(smaller_models=smaller, ideal_cache=cached)),
        (
            "batch",
            Measures(smaller_models=smaller, ideal_cache=cached, batch_share=Decimal(str(batch_share))),
        ),
    )
    steps = []
    before = baseline
    for kind, measures in stages:
        if kind in kinds:
            after = scenarios.cost(measures).total
            steps.append(
                CombinedStep(
                    kind=kind,
                    cost_before_usd=round_usd(before),
                    saving_usd=round_usd(before - after),
                    cost_after_usd=round_usd(after),
                )
            )
            before = after
    saving = baseline - before
    return CombinedSaving(
        steps=tuple(steps),
        cost_after_usd=round_usd(before),
        saving_usd=round_usd(saving),
        saving_percent=percent_of(saving, baseline),
        monthly_saving_usd=round_usd(saving * Decimal(str(projection.factor))) if projection else None,
        method=_COMBINED_METHOD,
    )
