"""The reporter: draws the charts that help, and writes the answer."""

from agents.analysis.results import ModelComparison, SavingsPlan, SpendBreakdown

from .answers import compose_answer
from .conversation import Conversation, Decision, Output, ToolCall
from .evidence import Material, read_material
from .task import Task, read_task


def decide(conversation: Conversation) -> Decision:
    """Draw charts once when there is something to draw, then write."""
    state = conversation.state
    if state.triage is not None and state.triage.reply is not None:
        return Output(value=state.triage.reply)
    task = read_task(state)
    material = read_material(conversation, task.dataset.id)
    if _wants_charts(task, material) and not conversation.has_called("draw_charts"):
        return ToolCall(tool_name="draw_charts", params=_chart_params(task, conversation))
    problems = [
        *(state.data.problems if state.data is not None else ()),
        *(state.optimization.problems if state.optimization is not None else ()),
        *conversation.problems,
    ]
    return Output(value=compose_answer(task, state, material, problems))


def _wants_charts(task: Task, material: Material) -> bool:
    if set(task.entities.topics) == {"caching"} and material.plan is not None:
        return material.plan.caching.possible_saving_usd is not None
    priced = (material.spend, material.comparison, material.plan)
    return any(part is not None and _has_price(part) for part in priced)


def _has_price(part: SpendBreakdown | ModelComparison | SavingsPlan) -> bool:
    cost = part.cost if isinstance(part, SpendBreakdown) else part.baseline_cost
    return cost.total_usd > 0


def _chart_params(task: Task, conversation: Conversation) -> dict[str, object]:
    """Ask for charts of what the answer says, as far as the tool lets itself be told."""
    wanted = task.params | (
        {"batch_share": task.entities.batch_share} if task.entities.batch_share is not None else {}
    )
    if task.entities.models:
        wanted |= {"candidates": list(task.entities.models)}
    declared = conversation.tools.get("draw_charts", frozenset())
    return {key: value for key, value in wanted.items() if key == "dataset_id" or key in declared}
