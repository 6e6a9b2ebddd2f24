"""The results of every analysis, as frozen JSON-serialisable models.

Money is in US dollars as `Decimal`, rounded to millionths of a dollar and written to JSON as strings.
Shares and percentages are floats. Times are UTC. A model is *priced* when `genai-prices` knows its list
price.
"""

from .base import Level, OptionKind, PeriodUnit, Result, Usd
from .chart import Chart
from .comparison import CandidateCost, ModelComparison, SkippedModel
from .description import Column, DatasetDescription, ModelTraffic
from .forecast import Forecast
from .savings import (
    BatchFigures,
    CachingFigures,
    CombinedSaving,
    CombinedStep,
    SavingsOption,
    SavingsPlan,
    UnavailableOption,
)
from .spend import (
    ModelSpend,
    PeakPeriod,
    PeriodSpend,
    Projection,
    ProjectSpend,
    SizeSpend,
    SpendBreakdown,
    Trend,
)
from .traffic import Cost, Distribution, PricedModel, TimeRange, Traffic, UnpricedModel

__all__ = [
    "BatchFigures",
    "CachingFigures",
    "CandidateCost",
    "Chart",
    "Column",
    "CombinedSaving",
    "CombinedStep",
    "Cost",
    "DatasetDescription",
    "Distribution",
    "Forecast",
    "Level",
    "ModelComparison",
    "ModelSpend",
    "ModelTraffic",
    "OptionKind",
    "PeakPeriod",
    "PeriodSpend",
    "PeriodUnit",
    "PricedModel",
    "ProjectSpend",
    "Projection",
    "Result",
    "SavingsOption",
    "SavingsPlan",
    "SizeSpend",
    "SkippedModel",
    "SpendBreakdown",
    "TimeRange",
    "Traffic",
    "Trend",
    "UnavailableOption",
    "UnpricedModel",
    "Usd",
]
