"""The tools that agents may call, one module a family."""

from collections.abc import Iterable

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

_added: dict[str, tuple[str, ...]] = {}


def register_tool(tool: Tool, *, agents: Iterable[str]) -> None:
    """Let the agents named call another tool, from the start of the process on; for `AppConfig.ready()`.

    Raises:
        ValueError: when another tool has its name.
    """
    if TOOLS.setdefault(tool.name, tool) is not tool:
        raise ValueError(f"There is a tool {tool.name!r} already.")
    for name in agents:
        _added[name] = (*dict.fromkeys((*_added.get(name, ()), tool.name)),)


def added_tools(agent_name: str) -> tuple[str, ...]:
    """Return the names of the tools that were registered for an agent besides its own."""
    return _added.get(agent_name, ())


__all__ = ["TOOLS", "Tool", "ToolEnvironment", "added_tools", "register_tool"]
