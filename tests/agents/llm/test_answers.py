"""Whole answers on real logs: the right topic, the right tools, exact figures, and none invented."""

import pytest

from agents.state import DeepAgentState, Evidence
from tests.agents.llm.figures_checker import find_invented_figures
from tests.agents.llm.team import Team

QUESTIONS = [
    # question, topics, tools called, texts that the answer holds
    (
        "Where does our AI spend go, and how do we cut it?",
        {"spend_breakdown", "savings"},
        ["describe_dataset", "spend_breakdown", "compare_models", "savings_plan", "draw_charts"],
        [
            "19,366",
            "22,361,870",
            "4,088,665",
            "$96.79 ($55.90 for input + $40.89 for output)",
            "$48.40",
            "gpt-4o-mini",
        ],
    ),
    (
        "how can we lower our bill?",
        {"savings"},
        ["describe_dataset", "spend_breakdown", "compare_models", "savings_plan", "draw_charts"],
        ["$96.79", "$24.20", "50 % of the requests can wait", "### What to do"],
    ),
    ("How much do we spend?", {"spend_breakdown"}, ["spend_breakdown", "draw_charts"], ["$96.79", "58.9 %"]),
    ("wher does the mony go", {"spend_breakdown"}, ["spend_breakdown", "draw_charts"], ["$96.79"]),
    ("When was the peak?", {"trend"}, ["spend_breakdown", "draw_charts"], ["2023-11-16 18:43", "$2.50"]),
    ("is our spend rising?", {"trend"}, ["spend_breakdown", "draw_charts"], ["falling", "12.7 %"]),
    (
        "what would it cost on gpt-4o-mini?",
        {"model_comparison"},
        ["compare_models", "draw_charts"],
        ["$5.81", "94.0 %", "$96.79"],
    ),
    (
        "compare with claude-sonnet-4-5 and gpt 4.1 mini",
        {"model_comparison"},
        ["compare_models", "draw_charts"],
        ["claude-sonnet-4-5", "gpt-4.1-mini", "$128.42"],
    ),
    (
        "which cheaper models are there?",
        {"model_comparison"},
        ["compare_models", "draw_charts"],
        ["gpt-4o-mini"],
    ),
    (
        "should we switch to gpt-9.9-ultra?",
        {"model_comparison"},
        ["compare_models"],
        ["No list price is known for gpt-9.9-ultra"],
    ),
    (
        "what if 30 % can wait?",
        {"batch"},
        ["savings_plan", "draw_charts"],
        ["**30 %**", "$14.52", "15.0 %", "as you said"],
    ),
    ("what would batch save?", {"batch"}, ["savings_plan", "draw_charts"], ["**50 %**", "$24.20", "$48.40"]),
    ("a third of it is not urgent", {"batch"}, ["savings_plan", "draw_charts"], ["33.33 %"]),
    ("what would prompt caching save?", {"caching"}, ["savings_plan"], ["cannot be told from this log"]),
    (
        "what would batch and caching save?",
        {"batch", "caching"},
        ["savings_plan", "draw_charts"],
        ["cannot be told from this log", "$24.20"],
    ),
    (
        "what will we pay by the end of the month?",
        {"forecast"},
        ["forecast_spend", "spend_breakdown", "draw_charts"],
        ["There is not enough", "Extrapolated from"],
    ),
    (
        "how many requests?",
        {"dataset_question"},
        ["describe_dataset", "query_dataset"],
        ["**19,366** requests"],
    ),
    (
        "average output tokens?",
        {"dataset_question"},
        ["describe_dataset", "query_dataset"],
        ["**211.13** average output tokens"],
    ),
    (
        "busiest hour?",
        {"dataset_question"},
        ["describe_dataset", "query_dataset"],
        ["2023-11-16 18:00", "15,606"],
    ),
    (
        "what share of requests has more than 4k input tokens?",
        {"dataset_question"},
        ["describe_dataset", "query_dataset"],
        ["**1,615** matching requests", "**8.34** percent"],
    ),
    ("p95 of input tokens", {"dataset_question"}, ["describe_dataset", "query_dataset"], ["4,083.00"]),
    ("top 3 requests", {"dataset_question"}, ["describe_dataset", "query_dataset"], ["14,050", "5,443"]),
    (
        "what is in this dataset?",
        {"dataset_question"},
        ["describe_dataset"],
        ["1,154.70", "It names no model"],
    ),
    (
        "select max(output_tokens) as longest from azure_llm_trace_2023_conv_csv",
        {"dataset_question"},
        ["describe_dataset", "query_dataset"],
        ["**1,000** longest"],
    ),
    ("optmize our costs", {"savings"}, None, ["$96.79", "$24.20"]),
    (
        "assume claude-sonnet-4-5: where does the money go?",
        {"spend_breakdown"},
        ["spend_breakdown", "draw_charts"],
        ["$128.42", "**claude-sonnet-4-5** was assumed"],
    ),
]


@pytest.mark.parametrize(
    ("question", "topics", "tools", "texts"), QUESTIONS, ids=[case[0] for case in QUESTIONS]
)
async def test_a_question_is_answered_with_its_own_tools_and_exact_figures(
    conv: Team, question: str, topics: set[str], tools: list[str] | None, texts: list[str]
) -> None:
    answered = await conv.ask(question)
    assert set(answered.topics) == topics
    if tools is not None:
        assert [
            tool for tool in answered.tools if tool not in {"draw_charts"} or "draw_charts" in tools
        ] == tools
    for text in texts:
        assert text in answered.text
    assert find_invented_figures(answered.state) == []
    assert answered.state.triage is not None
    assert answered.state.triage.next_agents[-1] == "reporting"


async def test_the_full_report_prices_other_models_batch_and_recommends(conv: Team) -> None:
    answered = await conv.ask("Where does our AI spend go, and how do we cut it?")
    comparison = answered.call("compare_models").result
    cheaper = [other["model"] for other in comparison["candidates"] if float(other["saving_usd"]) > 0]
    assert len([model for model in cheaper if f"| {model} |" in answered.text]) >= 2
    assert "gpt-4o (assumed) with everything in batch | $48.40 | $48.40 | 50.0 %" in answered.text
    assert "![" in answered.text
    largest = max(float(other["saving_usd"]) for other in comparison["candidates"])
    assert f"would save more, ${largest:,.2f}, but it is not the first recommendation" in answered.text
    assert "](/api/v1/charts/0.svg)" in answered.text
    actions = answered.state.actions
    assert actions is not None
    assert [item.kind for item in actions.recommendations] == ["batch", "cheaper_model"]
    assert all(item.formula and item.steps and item.assumptions for item in actions.recommendations)
    assert (
        actions.recommendations[0].saving_usd
        == answered.call("savings_plan").result["options"][0]["saving_usd"]
    )


async def test_the_report_on_prefix_hashes_tells_what_an_ideal_cache_saves(mooncake: Team) -> None:
    for question in ("how do we cut our spend?", "what would caching save?"):
        answered = await mooncake.ask(question)
        for text in ("$403.21", "$67.62", "54,098,411"):
            assert text in answered.text
        assert find_invented_figures(answered.state) == []


async def test_the_answer_is_streamed_in_pieces(conv: Team) -> None:
    answered = await conv.ask("Where does our AI spend go, and how do we cut it?")
    assert len(answered.deltas) > 20
    assert max(map(len, answered.deltas)) < 400
    assert "".join(answered.deltas) == answered.text


def test_the_checker_finds_an_invented_figure() -> None:
    evidence = Evidence(
        agent_name="data", tool_name="x", params={}, result={"cost": "96.786325", "share": 0.5886}
    )
    state = DeepAgentState(question="", evidence=[evidence], answer="$96.79 is 58.9 %, or 1. 97.12 of 1,234.")
    assert find_invented_figures(state) == ["1", "97.12", "1,234"]
