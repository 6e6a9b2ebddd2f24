"""Data: looks into the log and finds where the money and the tokens go."""

from agents.state import DeepAgentState, Findings

from .specification import HOUSE_RULES, AgentSpecification

_TASK = """
Your task: data. Look into the dataset `triage.dataset_id` and report what it shows.
- Money, models, periods, peaks, projects, sizes: `spend_breakdown`.
- What the log holds: `describe_dataset`; it tells the table's SQL name and columns.
- Any other question about the rows: one read-only DuckDB SELECT with `query_dataset`, on that table. A row
  may
    stand for several requests: count with `sum(requests)`, and average with `sum(output_tokens) /
  sum(requests)`.
- `summary`: one to three sentences. `highlights`: one sentence for each figure that matters.
"""


def _thinking(state: DeepAgentState) -> str:
    if state.triage is not None and state.triage.category == "dataset_question":
        return "Looking up in the log's rows what was asked."
    if state.triage is not None and state.triage.category == "trend":
        return "Pricing each request and laying the spend out over time."
    return "Pricing each request of the log and adding up where the money goes."


DATA = AgentSpecification(
    name="data",
    title="Data analyst",
    instructions=HOUSE_RULES + _TASK,
    tools=("describe_dataset", "spend_breakdown", "query_dataset"),
    output_type=Findings,
    thinking=_thinking,
)
"""Reads the log."""
