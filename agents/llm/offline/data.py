"""The data agent: what the log shows."""

from agents.state import Findings

from .conversation import Conversation, Decision, Output, ToolCall
from .evidence import Material, read_material
from .figures import count, name, share, times, usd, value
from .row_questions import write_sql
from .task import Task, read_task


def decide(conversation: Conversation) -> Decision:
    """Call the next tool that the question needs, or conclude."""
    task = read_task(conversation.state)
    material = read_material(conversation, task.dataset.id)
    asks_rows = task.asks_for("dataset_question")
    asks_money = task.asks_for("spend_breakdown", "trend", "savings", "forecast") or not asks_rows
    if (asks_rows or task.asks_for("savings")) and not conversation.has_called("describe_dataset"):
        return ToolCall(tool_name="describe_dataset", params={"dataset_id": task.dataset.id})
    if asks_rows and material.description is not None and not conversation.has_called("query_dataset"):
        sql = write_sql(task.question, material.description, task.conditions)
        if sql is not None:
            return ToolCall(tool_name="query_dataset", params={"dataset_id": task.dataset.id, "sql": sql})
    if asks_money and not conversation.has_called("spend_breakdown"):
        return ToolCall(tool_name="spend_breakdown", params=task.params)
    return Output(value=_conclude(task, material, conversation.problems))


def _conclude(task: Task, material: Material, problems: list[str]) -> Findings:
    highlights = [*_spend_highlights(material), *_row_highlights(material)]
    summary = highlights[0] if highlights else f"Nothing could be found out about {task.dataset.name}."
    return Findings(summary=summary, highlights=highlights, problems=problems)


def _spend_highlights(material: Material) -> list[str]:
    spend = material.spend
    if spend is None:
        return []
    traffic = spend.traffic
    highlights = [
        f"{count(traffic.requests)} requests with {count(traffic.input_tokens)} input and "
        f"{count(traffic.output_tokens)} output tokens cost {usd(spend.cost.total_usd)} at list prices."
    ]
    if spend.by_model:
        top = spend.by_model[0]
        highlights.append(f"{name(top.model)} takes {share(top.share)} of it.")
    if spend.peak is not None:
        highlights.append(
            f"The peak is {spend.peak.label} with {usd(spend.peak.cost_usd)}, {times(spend.peak.ratio)} "
            "the mean."
        )
    return highlights


def _row_highlights(material: Material) -> list[str]:
    if material.query is not None and material.query.rows:
        first = material.query.rows[0]
        pairs = zip(material.query.columns, first, strict=True)
        return [
            "The query answers " + ", ".join(f"{column.name} = {value(cell)}" for column, cell in pairs) + "."
        ]
    if material.description is not None:
        return [
            f"The dataset has {count(material.description.rows)} rows in the format "
            f"{material.description.format}."
        ]
    return []
