"""Carrying the spend of a log on to a month."""

from datetime import timedelta
from decimal import Decimal

from .money import round_usd
from .results import Projection
from .times import LogTimes

MONTH_HOURS = 730
"""Hours of a mean month (8,760 / 12)."""

_SHORTEST = timedelta(minutes=10)
_WEEK = timedelta(days=7)


def project_month(cost: Decimal, times: LogTimes | None) -> Projection | None:
    """Scale `cost` (USD, of all that the log covers) to a month; None below 10 minutes or with no cost."""
    if times is None or times.covered < _SHORTEST or not cost:
        return None
    hours = Decimal(int(times.covered.total_seconds() * 1000)) / 3_600_000
    factor = MONTH_HOURS / hours
    is_extrapolated = times.covered < _WEEK
    basis = f"{float(hours):,.1f} hours" if hours < 48 else f"{float(hours / 24):,.1f} days"
    statement = f"Projected from {basis} of traffic to a month of {MONTH_HOURS} hours."
    if is_extrapolated:
        statement = (
            f"Extrapolated from {basis} of traffic to a month of {MONTH_HOURS} hours: it holds only "
            "if every hour of the month is like these, so nights and weekends may make it much less."
        )
    return Projection(
        monthly_usd=round_usd(cost * factor),
        factor=round(float(factor), 4),
        basis_hours=round(float(hours), 4),
        is_extrapolated=is_extrapolated,
        statement=statement,
    )
