"""The spend over time: periods, the peak among them, and the trend."""

# ruff: noqa: S608 (the SQL is made of our own names and numbers; other text is quoted or a parameter)

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from .money import percent_of, round_usd
from .priced_dataset import PricedDataset
from .results import PeakPeriod, PeriodSpend, PeriodUnit, Trend
from .times import SECONDS, LogTimes

_FORMATS: dict[PeriodUnit, str] = {"minute": "%Y-%m-%d %H:%M", "hour": "%Y-%m-%d %H:00", "day": "%Y-%m-%d"}
_STEADY_PERCENT = 5.0
_HOURS_LIMIT = 10
_TREND_PERIODS = 4
_TREND_ROWS = 20


def spend_by_period(
    priced: PricedDataset, times: LogTimes, unit: PeriodUnit | None = None
) -> tuple[PeriodSpend, ...]:
    """Cut the spend into minutes, hours or days, in order of time; periods without traffic are left out.

    `unit` is their length; None takes one that gives a readable number of them.
    """
    unit = unit or times.unit
    cells = priced.cells([f"date_trunc('{unit}', requested_at)"])
    groups = priced.group_costs(cells, lambda cell: cell.group[0])
    start = times.first.replace(second=0, microsecond=0)
    start = start if unit == "minute" else start.replace(minute=0)
    start = start if unit != "day" else start.replace(hour=0)
    periods = []
    for at in sorted(moment for moment in groups if moment is not None):
        traffic, cost = groups[at]
        offset = int((at - start).total_seconds())
        periods.append(
            PeriodSpend(
                starts_at=None if times.is_relative else at.replace(tzinfo=UTC),
                offset_seconds=offset,
                label=_label_offset(offset) if times.is_relative else at.strftime(_FORMATS[unit]),
                traffic=traffic,
                cost_usd=round_usd(cost.total),
            )
        )
    return tuple(periods)


def find_busiest_hours(priced: PricedDataset, times: LogTimes) -> tuple[PeriodSpend, ...]:
    """Find the hours with the most requests, busiest first, at most 10."""
    hours = spend_by_period(priced, times, "hour")
    return tuple(sorted(hours, key=lambda hour: -hour.traffic.requests)[:_HOURS_LIMIT])


def find_peak(periods: Sequence[PeriodSpend], unit: PeriodUnit) -> PeakPeriod | None:
    """Find the most expensive period, and how far above the mean it is; None with fewer than two."""
    if len(periods) < 2:
        return None
    peak = max(periods, key=lambda period: period.cost_usd)
    count = (periods[-1].offset_seconds - periods[0].offset_seconds) // SECONDS[unit] + 1
    mean = sum((period.cost_usd for period in periods), Decimal(0)) / count
    return PeakPeriod(
        label=peak.label,
        cost_usd=peak.cost_usd,
        mean_usd=round_usd(mean),
        ratio=round(float(peak.cost_usd / mean), 3) if mean else 0.0,
    )


def find_trend(priced: PricedDataset, times: LogTimes, periods: Sequence[PeriodSpend]) -> Trend | None:
    """Compare the second half of the covered time with the first; None when that is too little."""
    ((rows,),) = priced.session.fetch(f"SELECT count(requested_at) FROM {priced.table}")
    if len(periods) < _TREND_PERIODS or rows < _TREND_ROWS:
        return None
    middle: datetime = times.first + timedelta(seconds=times.covered.total_seconds() / 2)
    cells = priced.cells([f"requested_at >= TIMESTAMP '{middle.isoformat(sep=' ')}'"])
    halves = {
        half: cost.total for half, (_, cost) in priced.group_costs(cells, lambda cell: cell.group[0]).items()
    }
    first, second = halves.get(False, Decimal(0)), halves.get(True, Decimal(0))
    if not first:
        return None
    change = percent_of(second - first, first)
    steady = abs(change) < _STEADY_PERCENT
    return Trend(
        direction="steady" if steady else "rising" if change > 0 else "falling",
        change_percent=change,
        first_half_usd=round_usd(first),
        second_half_usd=round_usd(second),
    )


def _label_offset(seconds: int) -> str:
    return f"+{seconds // 3600:02}:{seconds % 3600 // 60:02}"
