"""The optimization agent: what the same traffic could cost."""

from agents.state import Findings

from .conversation import Conversation, Decision, Output, ToolCall
from .evidence import Material, read_material
from .figures import count, name, percent, usd
from .task import Task, read_task


def decide(conversation: Conversation) -> Decision:
    """Call the next tool that the question needs, or conclude."""
    task = read_task(conversation.state)
    material = read_material(conversation, task.dataset.id)
    wants_plan = task.asks_for("savings", "caching", "batch")
    wants_forecast = task.asks_for("forecast")
    wants_models = task.asks_for("savings", "model_comparison") or not (wants_plan or wants_forecast)
    if wants_models and not conversation.has_called("compare_models"):
        params = task.params
        if task.entities.models:
            params["candidates"] = list(task.entities.models)
        return ToolCall(tool_name="compare_models", params=params)
    if wants_plan and not conversation.has_called("savings_plan"):
        return ToolCall(tool_name="savings_plan", params=plan_params(task))
    if wants_forecast and not conversation.has_called("forecast_spend"):
        return ToolCall(tool_name="forecast_spend", params=task.params)
    lacks_forecast = material.forecast is not None and not material.forecast.has_enough_data
    if lacks_forecast and material.spend is None and not conversation.has_called("spend_breakdown"):
        return ToolCall(tool_name="spend_breakdown", params=task.params)
    return Output(value=_conclude(task, material, conversation.problems))


def plan_params(task: Task) -> dict[str, object]:
    """Return the parameters of `savings_plan` for a task."""
    params = task.params
    if task.entities.batch_share is not None:
        params["batch_share"] = task.entities.batch_share
    return params


def _conclude(task: Task, material: Material, problems: list[str]) -> Findings:
    highlights: list[str] = []
    if (comparison := material.comparison) is not None:
        highlights += [
            f"On {name(other.model)} the same requests cost {usd(other.cost.total_usd)} instead of "
            f"{usd(comparison.baseline_cost.total_usd)} ({percent(other.saving_percent)} less)."
            for other in comparison.candidates[:3]
            if other.saving_usd > 0
        ]
    if (plan := material.plan) is not None:
        highlights += [
            f"{option.title}: saves {usd(option.saving_usd)} ({percent(option.saving_percent)})."
            for option in plan.options
        ]
        highlights += [option.reason for option in plan.unavailable]
        if plan.caching.basis == "prefix_hashes":
            highlights.append(
                f"An ideal prefix cache would serve {count(plan.caching.cacheable_tokens)} tokens."
            )
    if (forecast := material.forecast) is not None:
        if forecast.expected_usd is not None:
            highlights.append(f"{forecast.target}: {usd(forecast.expected_usd)} expected.")
        elif forecast.reason is not None:
            highlights.append(forecast.reason)
    summary = highlights[0] if highlights else f"No cheaper way was found for {task.dataset.name}."
    return Findings(summary=summary, highlights=highlights, problems=problems)
