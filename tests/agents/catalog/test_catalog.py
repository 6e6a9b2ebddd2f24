"""The team: who is in it, with which tools."""

from agents.catalog import CATALOG
from agents.catalog.specification import HOUSE_RULES
from agents.state import ActionPlan, DatasetCard, DeepAgentState, Findings, TriageResult
from agents.tools import TOOLS


def test_the_team_works_in_this_order_and_returns_these_types() -> None:
    assert [(agent.name, agent.output_type) for agent in CATALOG] == [
        ("triage", TriageResult),
        ("data", Findings),
        ("optimization", Findings),
        ("actions", ActionPlan),
        ("reporting", str),
    ]


def test_every_tool_of_an_agent_exists_and_every_tool_has_an_agent() -> None:
    assert {tool for agent in CATALOG for tool in agent.tools} == set(TOOLS)


def test_every_agent_is_told_the_house_rules_and_its_tools() -> None:
    for agent in CATALOG:
        assert agent.instructions.startswith(HOUSE_RULES)
        for tool in agent.tools:
            assert tool in agent.instructions


def test_every_agent_says_what_it_is_about_to_do() -> None:
    card = DatasetCard(
        id="1",
        name="calls",
        format="csv",
        rows=1,
        requests=1,
        input_tokens=1,
        output_tokens=1,
        names_models=True,
    )
    for categories in (
        "trend",
        "dataset_question",
        "caching",
        "batch",
        "forecast",
        "model_comparison",
        "savings",
    ):
        triage = TriageResult.model_validate({"category": categories, "reason": "because"})
        for cards in ([], [card], [card, card]):
            state = DeepAgentState(question="?", datasets=cards, triage=triage)
            for agent in CATALOG:
                assert agent.thinking(state).endswith(".")
