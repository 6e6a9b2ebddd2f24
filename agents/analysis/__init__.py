"""What a usage log costs, on which models, and how to pay less: figures from DuckDB and list prices."""

from .comparison import compare_models
from .description import describe_dataset
from .month_forecast import forecast
from .savings import savings_plan
from .spend import spend_breakdown

__all__ = ["compare_models", "describe_dataset", "forecast", "savings_plan", "spend_breakdown"]
