"""Tools that price a dataset's traffic."""

from pydantic import BaseModel, Field

from agents.analysis.comparison import compare_models
from agents.analysis.month_forecast import forecast
from agents.analysis.savings import savings_plan
from agents.analysis.spend import spend_breakdown
from agents.tools.datasets import DatasetParameters
from agents.tools.definition import Tool, ToolEnvironment


class SpendParameters(DatasetParameters):
    """Which dataset, at which model's prices."""

    assume_model: str | None = Field(default=None, max_length=200)
    """Model to assume where the log names none; only when the user named it in the question."""


class ComparisonParameters(SpendParameters):
    """Which dataset, against which models."""

    candidates: list[str] | None = Field(default=None, max_length=20)
    """Models to compare with; none: well-known cheaper ones."""


class SavingsParameters(SpendParameters):
    """Which dataset, and how much of its traffic can change."""

    batch_share: float | None = Field(default=None, ge=0, le=1)
    """Share of the requests that may wait up to a day (0 to 1)."""
    small_model_share: float | None = Field(default=None, ge=0, le=1)
    """Share of the requests, the shortest ones, that a smaller model may take (0 to 1)."""


def _spend_breakdown(environment: ToolEnvironment, parameters: SpendParameters) -> BaseModel:
    with environment.open(parameters.dataset_id) as session:
        return spend_breakdown(
            session,
            parameters.dataset_id,
            assumed_model=parameters.assume_model,
            priced_at=environment.now,
        )


def _compare_models(environment: ToolEnvironment, parameters: ComparisonParameters) -> BaseModel:
    with environment.open(parameters.dataset_id) as session:
        return compare_models(
            session,
            parameters.dataset_id,
            assumed_model=parameters.assume_model,
            candidates=parameters.candidates,
            priced_at=environment.now,
        )


def _savings_plan(environment: ToolEnvironment, parameters: SavingsParameters) -> BaseModel:
    with environment.open(parameters.dataset_id) as session:
        return savings_plan(
            session,
            parameters.dataset_id,
            assumed_model=parameters.assume_model,
            batch_share=parameters.batch_share,
            small_model_share=parameters.small_model_share,
            priced_at=environment.now,
        )


def _forecast_spend(environment: ToolEnvironment, parameters: SpendParameters) -> BaseModel:
    with environment.open(parameters.dataset_id) as session:
        return forecast(
            session,
            parameters.dataset_id,
            assumed_model=parameters.assume_model,
            priced_at=environment.now,
        )


SPEND_BREAKDOWN = Tool(
    name="spend_breakdown",
    description="Price every request at list prices, and break the cost down by model, time, project, size.",
    parameters=SpendParameters,
    function=_spend_breakdown,
)
COMPARE_MODELS = Tool(
    name="compare_models",
    description="Price exactly the same requests on other models.",
    parameters=ComparisonParameters,
    function=_compare_models,
)
SAVINGS_PLAN = Tool(
    name="savings_plan",
    description="Compute what a cheaper model, prompt caching and batch processing would save, ranked.",
    parameters=SavingsParameters,
    function=_savings_plan,
)
FORECAST_SPEND = Tool(
    name="forecast_spend",
    description="Forecast the month's cost from the log's days, with an interval, where they suffice.",
    parameters=SpendParameters,
    function=_forecast_spend,
)
