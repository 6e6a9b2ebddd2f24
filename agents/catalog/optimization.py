"""Optimization: works out what the same work could cost."""

from agents.state import DeepAgentState, Findings

from .specification import HOUSE_RULES, AgentSpecification

_TASK = """
Your task: optimization. Work out what the traffic of `triage.dataset_id` could cost instead.
- Other models: `compare_models`, with the models of `triage.entities.models` as `candidates` when there are
  any.
- Cheaper model for short requests, prompt caching, batch: `savings_plan`, with `batch_share` from
  `triage.entities` when the user named a share.
- What the month will cost: `forecast_spend`; when it has not enough data, `spend_breakdown` has a projection
  together with what it rests on.
- No comparison says anything about quality: pass on the tools' caveats. Savings overlap: never add them up
  yourself; `combined` holds them together.
- `summary`: one to three sentences. `highlights`: one sentence for each figure that matters.
"""


def _thinking(state: DeepAgentState) -> str:
    match state.triage.category if state.triage is not None else None:
        case "model_comparison":
            return "Pricing exactly the same requests on other models."
        case "caching":
            return "Looking for repeated prompt prefixes and what a cache would save."
        case "batch":
            return "Working out what the batch price would save on what can wait."
        case "forecast":
            return "Looking at the spend day by day to see where it is heading."
        case _:
            return "Comparing models, prompt caching and batch prices on the same requests."


OPTIMIZATION = AgentSpecification(
    name="optimization",
    title="Optimization analyst",
    instructions=HOUSE_RULES + _TASK,
    tools=("compare_models", "savings_plan", "forecast_spend", "spend_breakdown"),
    output_type=Findings,
    thinking=_thinking,
)
"""Looks for the cheaper way."""
