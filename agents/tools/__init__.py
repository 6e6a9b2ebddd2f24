"""The tools that agents may call, one module a family."""

from agents.tools.charts import DRAW_CHARTS
from agents.tools.datasets import DESCRIBE_DATASET, LIST_DATASETS, QUERY_DATASET
from agents.tools.definition import Tool, ToolEnvironment
from agents.tools.spend import COMPARE_MODELS, FORECAST_SPEND, SAVINGS_PLAN, SPEND_BREAKDOWN

TOOLS: dict[str, Tool] = {
    tool.name: tool
    for tool in (
        LIST_DATASETS,
        DESCRIBE_DATASET,
        QUERY_DATASET,
        SPEND_BREAKDOWN,
        COMPARE_MODELS,
        SAVINGS_PLAN,
        FORECAST_SPEND,
        DRAW_CHARTS,
    )
}
"""Every tool by its name."""

__all__ = ["TOOLS", "Tool", "ToolEnvironment"]
