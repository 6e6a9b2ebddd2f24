"""Triage: understands the question and decides who works on it."""

from agents.state import DeepAgentState, TriageResult

from .specification import HOUSE_RULES, AgentSpecification

_TASK = """
Your task: triage. Decide what is asked, about which dataset, and which agents work on it.
- `datasets` has been read already; call `list_datasets` again only if it is empty and you doubt it.
- `category`: the kind of question. `reason`: one sentence.
- `dataset_id`: a `selected` dataset; else the one that the question or the conversation names; else the first
  of `datasets`, which is the newest.
- `next_agents`, always in this order and always with reporting last:
  spend_breakdown, trend, dataset_question: data, reporting;
  model_comparison, forecast: optimization, reporting;
  caching, batch: optimization, actions, reporting;
  savings, or spend and savings together: data, optimization, actions, reporting.
- `entities`: `topics` (all categories asked for), `models` (list of models to compare with), `assume_model`
  (only when the user says which to assume), `batch_share` (0 to 1, the share that can wait).
- capabilities, small_talk, out_of_scope, missing_data (a question about usage and no dataset): leave
    `next_agents` empty and write the whole answer into `reply`. For missing data, say which files help:
  CSV, JSON
    or JSON Lines with a row per request and its input and output tokens, a LiteLLM spend log, or the OpenAI
  usage
  API's JSON, uploaded with the paper clip beside the message box.
- A question about money when the log names no model and none is assumed: leave `next_agents` empty and ask in
  `reply` which model to assume.
"""


def _thinking(state: DeepAgentState) -> str:
    return "Reading the question, and looking which datasets there are."


TRIAGE = AgentSpecification(
    name="triage",
    title="Triage",
    instructions=HOUSE_RULES + _TASK,
    tools=("list_datasets",),
    output_type=TriageResult,
    thinking=_thinking,
)
"""The first agent of every run."""
