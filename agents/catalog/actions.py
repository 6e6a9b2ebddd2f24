"""Actions: turns savings into ranked steps somebody can take."""

from agents.state import ActionPlan, DeepAgentState

from .specification import HOUSE_RULES, AgentSpecification

_TASK = """
Your task: actions. Turn the options of `savings_plan` into recommendations, the largest saving first.
- Use the `savings_plan` result in `evidence`; call the tool only if there is none.
- For each option: `title`, `kind`, `saving_usd`, `saving_percent` and `monthly_saving_usd` exactly as the
  tool
    gives them, `effort`, `risk` (level and note), `assumptions`, `formula` and `steps`. Add none without a
  figure.
- When triage's category is caching or batch, recommend that kind only.
- `summary`: one or two sentences on what to do first and why.
"""


def _thinking(state: DeepAgentState) -> str:
    if state.triage is not None and state.triage.category in {"caching", "batch"}:
        return "Turning the figure into steps to take."
    return "Ranking what to do by what it saves, with effort and risk."


ACTIONS = AgentSpecification(
    name="actions",
    title="Action planner",
    instructions=HOUSE_RULES + _TASK,
    tools=("savings_plan",),
    output_type=ActionPlan,
    thinking=_thinking,
)
"""Says what to do."""
