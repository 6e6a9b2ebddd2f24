"""The tool that draws an answer's charts."""

from uuid import uuid5

from pydantic import BaseModel, Field

from agents.analysis import charts as drawings
from agents.analysis.comparison import compare_models
from agents.analysis.savings import savings_plan
from agents.analysis.spend import spend_breakdown
from agents.models import Chart
from agents.tools.definition import Tool, ToolEnvironment
from agents.tools.spend import SavingsParameters
from contexts.exceptions import ToolError
from contexts.scope import scope


class ChartParameters(SavingsParameters):
    """Which dataset, at which prices, beside which models."""

    candidates: list[str] | None = Field(default=None, max_length=20)
    """Models to show beside today's; none: well-known cheaper ones."""


class DrawnChart(BaseModel):
    """A chart that an answer can show."""

    id: str
    url: str
    title: str
    alt_text: str


class DrawnCharts(BaseModel):
    """The charts, in the order to show them."""

    charts: list[DrawnChart]


def _draw_charts(environment: ToolEnvironment, parameters: ChartParameters) -> DrawnCharts:
    context = environment.context
    if context.run_id is None:
        raise ToolError("Charts are drawn within a run only.")
    dataset_id, now, assumed = parameters.dataset_id, environment.now, parameters.assume_model
    with environment.open(dataset_id) as session:
        breakdown = spend_breakdown(session, dataset_id, assumed_model=assumed, priced_at=now)
        comparison = compare_models(
            session, dataset_id, assumed_model=assumed, candidates=parameters.candidates, priced_at=now
        )
        plan = savings_plan(
            session,
            dataset_id,
            assumed_model=assumed,
            batch_share=parameters.batch_share,
            small_model_share=parameters.small_model_share,
            priced_at=now,
        )
    drawn = {
        "Cost today, on cheaper models, and with each measure": drawings.comparison_chart(comparison, plan),
        "Spend over time": drawings.spend_chart(breakdown),
    }
    charts = [
        Chart(
            # Drawn again by a later attempt it is the same chart.
            id=uuid5(context.run_id, f"{environment.call_id}:{title}"),
            tenant_id=context.tenant_id,
            user_id=context.user_id,
            run_id=context.run_id,
            title=title,
            alt_text=chart.alt_text,
            svg=chart.svg,
        )
        for title, chart in drawn.items()
        if chart is not None
    ]
    with scope(context):
        Chart.objects.bulk_create(charts, ignore_conflicts=True)
    return DrawnCharts(
        charts=[
            DrawnChart(
                id=str(chart.id),
                url=f"/api/v1/charts/{chart.id}.svg",
                title=chart.title,
                alt_text=chart.alt_text,
            )
            for chart in charts
        ]
    )


DRAW_CHARTS = Tool(
    name="draw_charts",
    description="Draw the dataset's cost comparison and spend over time; show each as ![alt_text](url).",
    parameters=ChartParameters,
    function=_draw_charts,
)
