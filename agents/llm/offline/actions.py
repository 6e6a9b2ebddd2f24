"""The action planner: the options of the savings plan as recommendations."""

from agents.analysis.results import OptionKind, SavingsOption, SavingsPlan
from agents.state import ActionPlan, Recommendation

from .conversation import Conversation, Decision, Output, ToolCall
from .evidence import read_material
from .figures import percent, usd
from .optimization import plan_params
from .task import Task, read_task


def decide(conversation: Conversation) -> Decision:
    """Fetch the savings plan if nobody has, and make it a list of things to do."""
    task = read_task(conversation.state)
    plan = read_material(conversation, task.dataset.id).plan
    if plan is None and not conversation.has_called("savings_plan"):
        return ToolCall(tool_name="savings_plan", params=plan_params(task))
    if plan is None:
        return Output(value=ActionPlan(summary=" ".join(conversation.problems)))
    return Output(value=_conclude(plan, _wanted_kinds(task)))


def _wanted_kinds(task: Task) -> set[OptionKind]:
    if task.asks_for("savings") or not task.asks_for("caching", "batch"):
        return {"cheaper_model", "prompt_caching", "batch"}
    kinds: set[OptionKind] = set()
    if task.asks_for("caching"):
        kinds.add("prompt_caching")
    if task.asks_for("batch"):
        kinds.add("batch")
    return kinds


def _conclude(plan: SavingsPlan, kinds: set[OptionKind]) -> ActionPlan:
    recommendations = [_recommend(option) for option in plan.options if option.kind in kinds]
    if not recommendations:
        reasons = [option.reason for option in plan.unavailable if option.kind in kinds]
        return ActionPlan(summary=" ".join(reasons) or "There is nothing to recommend on this log.")
    first = next(option for option in plan.options if option.kind in kinds)
    return ActionPlan(
        summary=(
            f"First: {first.title}. It saves {usd(first.saving_usd)} "
            f"({percent(first.saving_percent)} of {usd(first.baseline_cost_usd)})."
        ),
        recommendations=recommendations,
    )


def _recommend(option: SavingsOption) -> Recommendation:
    return Recommendation(
        title=option.title,
        kind=option.kind,
        saving_usd=str(option.saving_usd),
        saving_percent=str(option.saving_percent),
        monthly_saving_usd=None if option.monthly_saving_usd is None else str(option.monthly_saving_usd),
        effort=option.effort,
        risk=f"{option.risk}: {option.risk_note}",
        assumptions=list(option.assumptions),
        formula=option.formula,
        steps=list(option.steps),
    )
