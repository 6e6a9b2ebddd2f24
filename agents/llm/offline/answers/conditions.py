"""What an answer says first when the question is about some of the requests only."""

from agents.llm.offline.condition_sql import split_conditions
from agents.llm.offline.evidence import Material
from agents.llm.offline.figures import name, whole_share
from agents.llm.offline.shares import find_share
from agents.llm.offline.task import Task


def share_section(task: Task) -> list[str]:
    """Say that a share above everything was not taken."""
    asked = find_share(task.question) if task.asks_for("batch") else None
    if asked is None or asked <= 1:
        return []
    return [f"**Note**: a share is at most 100 %, so {whole_share(asked)} was not taken but the usual share."]


def conditions_section(task: Task, material: Material) -> list[str]:
    """Say which conditions of the question hold for the figures, and which could not be applied."""
    conditions = list(task.conditions)
    if not conditions:
        return []
    lines = []
    rest = conditions
    if material.query is not None and material.description is not None and task.asks_for("dataset_question"):
        filters, rest = split_conditions(conditions, material.description)
        if filters:
            written = ", ".join(f"“{name(condition.written)}”" for condition in filters)
            lines.append(f"Only the requests that fit {written} are counted here (times are UTC).")
        if set(task.entities.topics) != {"dataset_question"}:
            lines.append("That holds for the query; the figures in USD are for the whole log.")
    if rest:
        written = ", ".join(f"“{name(condition.written)}”" for condition in rest)
        what = "condition" if len(rest) == 1 else "conditions"
        scope = "do without it" if len(rest) < len(conditions) else "are for **the whole log**"
        lines.append(f"**Note**: the {what} {written} could not be applied; the figures below {scope}.")
    return [" ".join(lines)]
