"""Puts the sections together that a question asks for."""

from collections.abc import Callable, Iterable

from agents.analysis.results import OptionKind
from agents.llm.offline.evidence import DrawnChart, Material
from agents.llm.offline.task import Task
from agents.llm.offline.topics import BUSY_HOURS, correct_spelling
from agents.state import Category, DeepAgentState

from .assumptions import assumptions_section, next_step
from .comparison import comparison_finding, comparison_table
from .conditions import conditions_section, share_section
from .forecast import forecast_finding, forecast_table
from .parts import show_charts
from .rows import description_answer, query_answer
from .savings import (
    batch_finding,
    caching_finding,
    cheapest_note,
    combined_section,
    recommendations_section,
    savings_finding,
)
from .spend import busiest_hours, spend_finding, spend_tables, trend_finding, trend_table

_Section = tuple[list[str], list[str]]
"""What comes before the charts, and what comes after them."""

_ALL_KINDS: tuple[OptionKind, ...] = ("cheaper_model", "prompt_caching", "batch")


def compose_answer(task: Task, state: DeepAgentState, material: Material, problems: list[str]) -> str:
    """Write the whole answer in Markdown: findings, tables, charts, actions, assumptions, next step."""
    topics = [topic for topic in task.entities.topics if topic in _SECTIONS]
    if "savings" in topics:  # The full report holds the breakdown and the comparison already.
        topics = [topic for topic in topics if topic not in {"spend_breakdown", "model_comparison"}]
    before, after = _write_sections(topics, task, state, material)
    if not before and not after:
        # Another agent was asked for than the question calls for: say what it found.
        before, after = _write_sections(_SECTIONS, task, state, material)
    charts = show_charts(_wanted_charts(task, material))
    if not before and not after:
        before = ["I could not work this out: the tools that it needs gave no result."]
    parts = [
        *share_section(task),
        *conditions_section(task, material),
        *before,
        *charts,
        *after,
        *assumptions_section(task, state, material, problems),
        next_step(task, material),
    ]
    return "\n\n".join(part for part in parts if part)


def _write_sections(
    topics: Iterable[Category], task: Task, state: DeepAgentState, material: Material
) -> _Section:
    sections = [_SECTIONS[topic](task, state, material) for topic in topics]
    before = list(dict.fromkeys(part for section in sections for part in section[0]))
    after = list(dict.fromkeys(part for section in sections for part in section[1]))
    return before, after


def _wanted_charts(task: Task, material: Material) -> list[DrawnChart]:
    """Take the charts that belong to the question, or all if they cannot be told apart."""
    over_time = [chart for chart in material.charts if "over time" in chart.title.lower()]
    costs = [chart for chart in material.charts if chart not in over_time]
    wanted = [
        *(costs if task.asks_for("savings", "model_comparison", "caching", "batch") else ()),
        *(over_time if task.asks_for("savings", "spend_breakdown", "trend", "forecast") else ()),
    ]
    return wanted or list(material.charts)


def _spend(task: Task, state: DeepAgentState, material: Material) -> _Section:
    if material.spend is None:
        return [], []
    return [spend_finding(material.spend), *spend_tables(material.spend)], []


def _trend(task: Task, state: DeepAgentState, material: Material) -> _Section:
    if material.spend is None:
        return [], []
    if BUSY_HOURS.search(correct_spelling(task.question.lower())) and material.spend.busiest_hours:
        return busiest_hours(material.spend), []
    return [trend_finding(material.spend)], trend_table(material.spend)


def _comparison(task: Task, state: DeepAgentState, material: Material) -> _Section:
    if material.comparison is None:
        return [], []
    return [
        comparison_finding(material.comparison),
        *comparison_table(material.comparison, material.plan),
    ], []


def _savings(task: Task, state: DeepAgentState, material: Material) -> _Section:
    before, after = _spend(task, state, material)
    if material.plan is not None:
        # The finding stands first: what it costs, then what can be saved.
        before[1:1] = [savings_finding(material.plan)]
        if material.plan.caching.basis == "prefix_hashes":
            before[2:2] = [caching_finding(material.plan)]
    if material.comparison is not None:
        before += comparison_table(material.comparison, material.plan)
    if material.plan is not None:
        before += cheapest_note(material.plan, material.comparison)
    after += recommendations_section(state.actions)
    if material.plan is not None:
        after += combined_section(material.plan, _ALL_KINDS)
    return before, after


def _caching(task: Task, state: DeepAgentState, material: Material) -> _Section:
    before = [caching_finding(material.plan)] if material.plan is not None else []
    return before, recommendations_section(state.actions)


def _batch(task: Task, state: DeepAgentState, material: Material) -> _Section:
    before = [batch_finding(material.plan)] if material.plan is not None else []
    return before, recommendations_section(state.actions)


def _forecast(task: Task, state: DeepAgentState, material: Material) -> _Section:
    if material.forecast is None:
        return [], []
    return [forecast_finding(material.forecast, material.spend)], forecast_table(material.forecast)


def _rows(task: Task, state: DeepAgentState, material: Material) -> _Section:
    if material.query is not None:
        return query_answer(task.dataset.name, material.query, material.sql), []
    return description_answer(material.description) if material.description is not None else [], []


_SECTIONS: dict[Category, Callable[[Task, DeepAgentState, Material], _Section]] = {
    "spend_breakdown": _spend,
    "trend": _trend,
    "model_comparison": _comparison,
    "savings": _savings,
    "caching": _caching,
    "batch": _batch,
    "forecast": _forecast,
    "dataset_question": _rows,
}
