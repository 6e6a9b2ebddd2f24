"""Where the spend of a log goes, at list prices."""

# ruff: noqa: S608 (the SQL is made of our own names and numbers; other text is quoted or a parameter)

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from agents.datasets.session import AnalysisSession

from .money import round_usd, share_of
from .periods import find_busiest_hours, find_peak, find_trend, spend_by_period
from .priced_dataset import MEAN_INPUT, PricedDataset, describe_cost
from .prices import ExactCost
from .projection import project_month
from .results import ModelSpend, PricedModel, ProjectSpend, SizeSpend, SpendBreakdown, Traffic
from .times import NO_TIMES, read_times

_SIZE_LIMITS = (1_000, 4_000, 16_000, 64_000, 128_000)
_PROJECTS_LIMIT = 50

_Groups = Mapping[Any, tuple[Traffic, ExactCost]]


def spend_breakdown(
    session: AnalysisSession, dataset_id: str, *, assumed_model: str | None = None, priced_at: datetime
) -> SpendBreakdown:
    """Break a dataset's spend down by model, period, project and size of request.

    Args:
        session: Where the dataset is open.
        dataset_id: Its id.
        assumed_model: Model for rows that name none; None takes the one stored with the dataset.
        priced_at: Moment whose list prices are used.

    Raises:
        NotFoundError: The session has no such dataset.

    """
    priced = PricedDataset(session, dataset_id, assumed_model=assumed_model, priced_at=priced_at)
    times = read_times(session, dataset_id)
    models = priced.group_costs(
        priced.cells(), lambda cell: (priced.prices[cell.key].name, cell.key[0] is None)
    )
    cost = sum((cost for _, cost in models.values()), ExactCost())
    priced_traffic = priced.priced_traffic
    periods = spend_by_period(priced, times) if times and priced.prices else ()
    return SpendBreakdown(
        dataset_id=priced.source.id,
        dataset_name=priced.source.name,
        priced_at=priced.priced_at,
        assumed_model=priced.assumed_model,
        assumed_requests=priced.assumed_requests,
        traffic=priced.traffic,
        priced_traffic=priced_traffic,
        cost=describe_cost(cost),
        mean_cost_per_request_usd=(
            round_usd(cost.total / priced_traffic.requests) if priced_traffic.requests else None
        ),
        recorded_cost_usd=_read_recorded_cost(priced),
        time=times.describe() if times else NO_TIMES,
        prices=_describe_prices(priced),
        by_model=_by_model(models, cost.total),
        period=times.unit if times else None,
        by_period=periods,
        busiest_hours=find_busiest_hours(priced, times) if times and priced.prices else (),
        peak=find_peak(periods, times.unit) if times else None,
        by_project=_by_project(priced, cost.total),
        by_size=_by_size(priced, cost.total),
        unpriced=tuple(priced.unpriced),
        trend=find_trend(priced, times, periods) if times else None,
        projection=project_month(cost.total, times),
        notes=tuple(priced.notes()),
    )


def _read_recorded_cost(priced: PricedDataset) -> Decimal | None:
    ((recorded,),) = priced.session.fetch(f"SELECT sum(recorded_cost_usd) FROM {priced.table}")
    return None if recorded is None else round_usd(Decimal(str(recorded)))


def _describe_prices(priced: PricedDataset) -> tuple[PricedModel, ...]:
    found = {(prices.name, prices.provider): prices for prices in priced.prices.values()}
    return tuple(found[key].describe() for key in sorted(found))


def _by_model(groups: _Groups, total: Decimal) -> tuple[ModelSpend, ...]:
    spends = [
        ModelSpend(
            model=name,
            is_assumed=is_assumed,
            traffic=traffic,
            cost=describe_cost(cost),
            share=share_of(cost.total, total),
        )
        for (name, is_assumed), (traffic, cost) in groups.items()
    ]
    return tuple(sorted(spends, key=lambda spend: (-spend.cost.total_usd, spend.model, spend.is_assumed)))


def _by_project(priced: PricedDataset, total: Decimal) -> tuple[ProjectSpend, ...]:
    groups = priced.group_costs(priced.cells(["project"]), lambda cell: cell.group[0])
    if not any(groups):
        return ()
    spends = [
        ProjectSpend(
            project=project,
            traffic=traffic,
            cost_usd=round_usd(cost.total),
            share=share_of(cost.total, total),
        )
        for project, (traffic, cost) in groups.items()
    ]
    return tuple(sorted(spends, key=lambda spend: (-spend.cost_usd, spend.project or ""))[:_PROJECTS_LIMIT])


def _by_size(priced: PricedDataset, total: Decimal) -> tuple[SizeSpend, ...]:
    cases = " ".join(f"WHEN {MEAN_INPUT} <= {limit} THEN {limit}" for limit in _SIZE_LIMITS)
    groups = priced.group_costs(priced.cells([f"CASE {cases} END"]), lambda cell: cell.group[0])
    spends = []
    lower = 0
    for upper in (*_SIZE_LIMITS, None):
        if upper in groups:
            traffic, cost = groups[upper]
            label = f"more than {lower - 1:,}" if upper is None else f"{lower:,} to {upper:,}"
            spends.append(
                SizeSpend(
                    label=f"{label} input tokens",
                    from_input_tokens=lower,
                    to_input_tokens=upper,
                    traffic=traffic,
                    cost_usd=round_usd(cost.total),
                    share=share_of(cost.total, total),
                )
            )
        lower = (upper or 0) + 1
    return tuple(spends)
