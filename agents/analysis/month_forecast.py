"""The spend expected by the end of the month."""

import calendar
import math
import statistics
from datetime import datetime, timedelta
from decimal import Decimal

from agents.datasets.session import AnalysisSession

from .money import round_usd
from .priced_dataset import PricedDataset
from .results import Forecast
from .times import LogTimes, read_times

REQUIRED_DAYS = 3.0
"""Full days that a forecast needs at least."""

_WEEKDAY_DAYS = 14
_RELATIVE_HORIZON = timedelta(days=30)
_Z90 = 1.645


def forecast(
    session: AnalysisSession, dataset_id: str, *, assumed_model: str | None = None, priced_at: datetime
) -> Forecast:
    """Forecast the list price of the month in which the log ends (relative times: of 30 days after).

    The full days of the log give a mean day (a mean for each day of the week from 14 full days on); the
    rest of the month is that many such days. The interval covers 90 % if days vary independently and
    normally around it.

    Raises:
        NotFoundError: The session has no such dataset.

    """
    priced = PricedDataset(session, dataset_id, assumed_model=assumed_model, priced_at=priced_at)
    times = read_times(session, dataset_id)
    if times is None:
        return _refuse(priced, 0.0, "The log has no times.")
    observed = times.covered / timedelta(days=1)
    if not priced.prices:
        return _refuse(priced, observed, "No model of the log has a list price.")
    daily = _read_daily_costs(priced, times)
    if len(daily) < REQUIRED_DAYS:
        return _refuse(
            priced,
            observed,
            f"The log has {len(daily)} full days; a forecast needs at least {REQUIRED_DAYS:.0f}, because "
            "within a "
            "day the spend rises and falls.",
        )
    return _forecast(priced, times, daily, observed)


def _read_daily_costs(priced: PricedDataset, times: LogTimes) -> dict[datetime, float]:
    """Price each full day (UTC) of the log, those without traffic included."""
    groups = priced.group_costs(priced.cells(["date_trunc('day', requested_at)"]), lambda cell: cell.group[0])
    day = times.first.replace(hour=0, minute=0, second=0, microsecond=0)
    if day < times.first:
        day += timedelta(days=1)
    daily = {}
    while day + timedelta(days=1) <= times.end:
        daily[day] = float(groups[day][1].total) if day in groups else 0.0
        day += timedelta(days=1)
    return daily


def _forecast(
    priced: PricedDataset, times: LogTimes, daily: dict[datetime, float], observed: float
) -> Forecast:
    by_weekday = len(daily) >= _WEEKDAY_DAYS
    mean = statistics.fmean(daily.values())
    weekday_means = (
        {
            weekday: statistics.fmean(cost for day, cost in daily.items() if day.weekday() == weekday)
            for weekday in range(7)
        }
        if by_weekday
        else dict.fromkeys(range(7), mean)
    )
    residuals = [cost - weekday_means[day.weekday()] for day, cost in daily.items()]
    degrees = len(daily) - (7 if by_weekday else 1)
    deviation = math.sqrt(sum(residual**2 for residual in residuals) / degrees)
    end, target, spent = _target(priced, times)
    remaining = max((end - times.end) / timedelta(days=1), 0.0)
    rest = _sum_days(times.end, end, weekday_means)
    margin = _Z90 * deviation * math.sqrt(remaining + remaining**2 / len(daily))
    expected = spent + Decimal(str(rest))
    weekdays = ", one for each day of the week," if by_weekday else ""
    return Forecast(
        dataset_id=priced.source.id,
        dataset_name=priced.source.name,
        priced_at=priced.priced_at,
        assumed_model=priced.assumed_model,
        assumed_requests=priced.assumed_requests,
        observed_days=round(observed, 4),
        required_days=REQUIRED_DAYS,
        has_enough_data=True,
        reason=None,
        target=target,
        spent_usd=round_usd(spent),
        expected_usd=round_usd(expected),
        low_usd=round_usd(max(expected - Decimal(str(margin)), spent)),
        high_usd=round_usd(expected + Decimal(str(margin))),
        daily_mean_usd=round_usd(Decimal(str(mean))),
        method=(
            f"Spent so far plus {remaining:.1f} days at the mean{weekdays} of {len(daily)} full days (UTC). "
            "The "
            "interval covers 90 % if days vary independently and normally around that mean, with no trend."
        ),
        notes=tuple(priced.notes()),
    )


def _target(priced: PricedDataset, times: LogTimes) -> tuple[datetime, str, Decimal]:
    """Return the end of what is forecast, its name, and what the log shows of it so far (USD)."""
    if times.is_relative:
        return times.end + _RELATIVE_HORIZON, "30 days after the log's end", Decimal(0)
    start = times.last.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    end = start + timedelta(days=calendar.monthrange(start.year, start.month)[1])
    cells = priced.cells([f"requested_at >= TIMESTAMP '{start.isoformat(sep=' ')}'"])
    spent = priced.total_cost(cell for cell in cells if cell.group[0]).total
    return end, f"{start:%Y-%m}", spent


def _sum_days(start: datetime, end: datetime, weekday_means: dict[int, float]) -> float:
    total = 0.0
    moment = start
    while moment < end:
        midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        until = min(midnight, end)
        total += weekday_means[moment.weekday()] * ((until - moment) / timedelta(days=1))
        moment = until
    return total


def _refuse(priced: PricedDataset, observed: float, reason: str) -> Forecast:
    return Forecast(
        dataset_id=priced.source.id,
        dataset_name=priced.source.name,
        priced_at=priced.priced_at,
        assumed_model=priced.assumed_model,
        assumed_requests=priced.assumed_requests,
        observed_days=round(observed, 4),
        required_days=REQUIRED_DAYS,
        has_enough_data=False,
        reason=reason,
        target=None,
        spent_usd=None,
        expected_usd=None,
        low_usd=None,
        high_usd=None,
        daily_mean_usd=None,
        method=None,
        notes=tuple(priced.notes()),
    )
