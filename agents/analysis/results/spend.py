"""Where the spend goes."""

from datetime import datetime
from typing import Literal

from .base import PeriodUnit, Result, Usd
from .traffic import Cost, PricedModel, TimeRange, Traffic, UnpricedModel


class ModelSpend(Result):
    """One model's part of the spend."""

    model: str
    """The model as the log names it, or the assumed one."""
    is_assumed: bool
    """Whether the log named no model for these requests."""
    traffic: Traffic
    """What went to it."""
    cost: Cost
    """Its list price."""
    share: float
    """Part of the total list price, 0 to 1."""


class PeriodSpend(Result):
    """One period's part of the spend."""

    starts_at: datetime | None
    """Start of the period, UTC; None when the log's times are relative."""
    offset_seconds: int
    """Seconds from the start of the first period to the start of this one."""
    label: str
    """The period as a person writes it: `2023-11-16 18:15`, or `+00:15` (hours:minutes since the start)."""
    traffic: Traffic
    """Its requests and tokens."""
    cost_usd: Usd
    """Its list price."""


class PeakPeriod(Result):
    """The most expensive period."""

    label: str
    """Which period."""
    cost_usd: Usd
    """Its list price."""
    mean_usd: Usd
    """Mean list price of all periods between the first and the last, empty ones included."""
    ratio: float
    """`cost_usd / mean_usd`."""


class ProjectSpend(Result):
    """One project's part of the spend."""

    project: str | None
    """Project, team, key or user as the log names it; None where it names none."""
    traffic: Traffic
    """Its requests and tokens."""
    cost_usd: Usd
    """Its list price."""
    share: float
    """Part of the total list price, 0 to 1."""


class SizeSpend(Result):
    """The part of the spend that goes to requests of one size."""

    label: str
    """Such as `1,001 to 4,000 input tokens`."""
    from_input_tokens: int
    """Smallest number of input tokens a request in this class has."""
    to_input_tokens: int | None
    """Largest number; None for no upper end."""
    traffic: Traffic
    """Its requests and tokens."""
    cost_usd: Usd
    """Its list price."""
    share: float
    """Part of the total list price, 0 to 1."""


class Trend(Result):
    """Whether the spend rises or falls within the log."""

    direction: Literal["rising", "falling", "steady"]
    """`steady` when the halves differ by less than 5 %."""
    change_percent: float
    """List price of the second half of the time span against the first half, in percent."""
    first_half_usd: Usd
    """List price of the first half of the time span."""
    second_half_usd: Usd
    """List price of the second half."""


class Projection(Result):
    """The spend carried on to a month of 730 hours."""

    monthly_usd: Usd
    """`total_usd * factor`."""
    factor: float
    """`730 / basis_hours`."""
    basis_hours: float
    """Hours that the log covers."""
    is_extrapolated: bool
    """Whether the log is too short (under 7 days) to show a week's rhythm: a mere scaling."""
    statement: str
    """How the figure came about, as a sentence to show beside it."""


class SpendBreakdown(Result):
    """Where the spend goes, at today's list prices."""

    dataset_id: str
    """Id of the dataset."""
    dataset_name: str
    """Name of the dataset."""
    priced_at: datetime
    """Moment whose list prices are used, UTC."""
    assumed_model: str | None
    """The model assumed where the log names none; None when none was given."""
    assumed_requests: int
    """Requests for which it was assumed."""
    traffic: Traffic
    """All requests, the unpriced ones included."""
    priced_traffic: Traffic
    """Those requests that have a list price."""
    cost: Cost
    """List price of the priced requests."""
    mean_cost_per_request_usd: Usd | None
    """Mean list price of a priced request; None when nothing is priced."""
    recorded_cost_usd: Usd | None
    """What the log itself says was paid; None when it does not tell."""
    time: TimeRange
    """When."""
    prices: tuple[PricedModel, ...]
    """The list prices used."""
    by_model: tuple[ModelSpend, ...]
    """Priced models, most expensive first."""
    period: PeriodUnit | None
    """Length of the periods in `by_period`; None without times."""
    by_period: tuple[PeriodSpend, ...]
    """Periods with traffic, in order of time."""
    busiest_hours: tuple[PeriodSpend, ...] = ()
    """The hours with the most requests, busiest first, at most 10; empty without times."""
    peak: PeakPeriod | None
    """The most expensive period; None with fewer than two periods."""
    by_project: tuple[ProjectSpend, ...]
    """Most expensive first, at most 50; empty when the log names no project."""
    by_size: tuple[SizeSpend, ...]
    """Classes of input length that have traffic, shortest first."""
    unpriced: tuple[UnpricedModel, ...]
    """Models without a list price."""
    trend: Trend | None
    """None when there are fewer than 4 periods or fewer than 20 priced rows."""
    projection: Projection | None
    """None without times or with nothing priced."""
    notes: tuple[str, ...]
    """What a reader should know, as sentences."""
