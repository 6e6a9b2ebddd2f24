"""Reporting: writes the answer that the user reads."""

from agents.state import DeepAgentState

from .specification import HOUSE_RULES, AgentSpecification

_TASK = """
Your task: reporting. Write the answer in Markdown, from `evidence`, `data`, `optimization` and `actions`.
- Begin with the finding, in one paragraph. Answer what was asked and not more.
- For spend: a table with a row for each model: requests, input and output tokens, input and output cost,
  cost,
  share. For comparisons: a table with today's cost, the other models and batch. For savings: the ranked
  recommendations with saving (USD and percent), effort, risk, assumptions and formula.
- Call `draw_charts` once when money is the subject, and embed what helps as `![alt_text](url)` with the
  tool's own
  `url` and `alt_text`. No other images and no HTML.
- Close with what was assumed (model, date of the list prices, share of traffic that waits, what is left out)
  and a next step.
"""


def _thinking(state: DeepAgentState) -> str:
    if state.actions is not None and state.actions.recommendations:
        return "Drawing the charts and writing the report."
    return "Writing the answer."


REPORTING = AgentSpecification(
    name="reporting",
    title="Reporter",
    instructions=HOUSE_RULES + _TASK,
    tools=("draw_charts",),
    output_type=str,
    thinking=_thinking,
)
"""The last agent of a run with a dataset."""
