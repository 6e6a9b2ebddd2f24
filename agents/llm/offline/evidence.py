"""Tool results by what they tell, as typed results."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict

from agents.analysis.results import (
    DatasetDescription,
    Forecast,
    ModelComparison,
    SavingsPlan,
    SpendBreakdown,
)
from agents.datasets.query_result import QueryResult

from .conversation import Conversation

R = TypeVar("R", bound=BaseModel)


class DrawnChart(BaseModel):
    """A chart that an answer can show."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    url: str
    title: str
    alt_text: str


@dataclass(frozen=True, slots=True)
class Material:
    """All evidence of a run on one dataset; None or empty for what no tool has told."""

    spend: SpendBreakdown | None
    comparison: ModelComparison | None
    plan: SavingsPlan | None
    forecast: Forecast | None
    description: DatasetDescription | None
    query: QueryResult | None
    sql: str | None
    """The SQL that `query` answers."""
    charts: tuple[DrawnChart, ...]


def read_material(conversation: Conversation, dataset_id: str) -> Material:
    """Collect the latest result of each tool about a dataset, from the team and from the agent itself."""
    latest: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
    for tool_name, params, result in _results(conversation):
        if params.get("dataset_id") == dataset_id:
            latest[tool_name] = (params, result)
    query_params, _ = latest.get("query_dataset", ({}, {}))
    _, charts = latest.get("draw_charts", ({}, {}))
    return Material(
        spend=_typed(latest, "spend_breakdown", SpendBreakdown),
        comparison=_typed(latest, "compare_models", ModelComparison),
        plan=_typed(latest, "savings_plan", SavingsPlan),
        forecast=_typed(latest, "forecast_spend", Forecast),
        description=_typed(latest, "describe_dataset", DatasetDescription),
        query=_typed(latest, "query_dataset", QueryResult),
        sql=query_params.get("sql"),
        charts=tuple(DrawnChart.model_validate(chart) for chart in charts.get("charts", ())),
    )


def _results(conversation: Conversation) -> Iterable[tuple[str, dict[str, Any], dict[str, Any]]]:
    for evidence in conversation.state.evidence:
        if "error" not in evidence.result:
            yield evidence.tool_name, evidence.params, evidence.result
    for answer in conversation.answers:
        if answer.result is not None:
            yield answer.tool_name, dict(answer.params), answer.result


def _typed(
    latest: dict[str, tuple[dict[str, Any], dict[str, Any]]], tool_name: str, kind: type[R]
) -> R | None:
    return kind.model_validate(latest[tool_name][1]) if tool_name in latest else None
