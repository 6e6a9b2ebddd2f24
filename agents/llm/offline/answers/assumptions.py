"""The end of an answer: what it rests on, and what to do next."""

from agents.llm.offline.evidence import Material
from agents.llm.offline.figures import count, name, whole_share
from agents.llm.offline.task import Task
from agents.state import DeepAgentState

from .parts import bullets, describe_prices, describe_unpriced


def assumptions_section(
    task: Task, state: DeepAgentState, material: Material, problems: list[str]
) -> list[str]:
    """Write which model, prices and shares were assumed, and what is left out."""
    lines = [name(note) for note in task.entities.notes]
    lines += _price_lines(material)
    plan = material.plan
    if plan is not None and plan.batch is not None and task.asks_for("savings", "batch"):
        named = "as you said" if task.entities.batch_share is not None else "assumed; name your own share"
        lines.append(f"{whole_share(plan.batch.share)} of the requests can wait for batch ({named}).")
    if plan is not None and plan.projection is not None and state.actions and state.actions.recommendations:
        lines.append(plan.projection.statement)
    priced = (material.spend, plan, material.comparison)
    if unpriced := next((part.unpriced for part in priced if part is not None), ()):
        lines.append(describe_unpriced(unpriced))
    if material.comparison is not None:
        lines.append(material.comparison.caveat)
    if plan is not None and task.asks_for("savings"):
        lines.append(plan.caveat)
    lines += [f"**Not found out**: {name(problem)}" for problem in problems]
    return ["### What this assumes", bullets(lines)] if lines else []


def _price_lines(material: Material) -> list[str]:
    priced = material.spend or material.plan or material.comparison or material.forecast
    if priced is None:
        return []
    lines = []
    if priced.assumed_requests and priced.assumed_model:
        lines.append(
            f"The log names no model for {count(priced.assumed_requests)} requests: "
            f"**{name(priced.assumed_model)}** was assumed."
        )
    prices = describe_prices(material.spend.prices) if material.spend is not None else ""
    rates = f" (USD per million tokens: {prices})" if prices else ""
    lines.append(f"List prices as of {priced.priced_at:%Y-%m-%d}{rates}; your contract may differ.")
    # The assumed model stands in the line above already.
    return lines + [name(note) for note in priced.notes if "names no model" not in note]


def next_step(task: Task, material: Material) -> str:
    """Say what to do next."""
    if material.spend is not None and not material.spend.by_model:
        return "**Next**: name a model with a list price to assume, for example `assume gpt-4o`."
    if task.asks_for("savings") and material.plan is not None and material.plan.options:
        first = material.plan.options[0]
        return f"**Next**: {name(first.steps[0])} Tell me which share really can wait, and I price that."
    if task.asks_for("batch"):
        return "**Next**: list the callers that nobody waits for, and ask again with their share."
    if task.asks_for("caching"):
        return "**Next**: log cached input tokens, and upload that log to see what caching really saves."
    if task.asks_for("model_comparison"):
        return "**Next**: answer a sample of your own requests on the cheaper model and compare the answers."
    if task.asks_for("forecast"):
        return "**Next**: upload a longer log for a narrower range, or ask *how do we cut it?*"
    if task.asks_for("dataset_question"):
        return ""
    return "**Next**: ask *how do we cut it?* for ranked savings."
