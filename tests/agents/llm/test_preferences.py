"""What the user prefers: agents switched off, the language and the time zone."""

import json
from itertools import combinations

import pytest

from agents.catalog import ALWAYS_ON, CATALOG
from agents.catalog.specification import HOUSE_RULES
from agents.state import DeepAgentState, TriageResult
from contexts.preferences import Preferences
from tests.agents.llm.team import Team

SPECIALISTS = ("data", "optimization", "actions")
SUBSETS = [frozenset(some) for size in range(1, 3) for some in combinations(SPECIALISTS, size)]
SAVINGS = "Where does our AI spend go, and how do we cut it?"


def _triage(*next_agents: str, reply: str | None = None) -> TriageResult:
    return TriageResult.model_validate(
        {"category": "savings", "reason": "Asked.", "next_agents": next_agents, "reply": reply}
    )


def test_what_is_switched_on_stays_as_it_is() -> None:
    triage = _triage("data", "actions", "reporting")
    assert triage.only(Preferences().allows) is triage
    assert triage.only(Preferences(agents=frozenset({"data", "actions"})).allows) is triage


def test_an_agent_that_is_switched_off_is_left_out_and_named() -> None:
    triage = _triage("data", "optimization", "actions", "reporting")
    left = triage.only(Preferences(agents=frozenset({"data"})).allows)
    assert left.next_agents == ["data", "reporting"]
    assert left.reason == "Asked. Switched off in the preferences: optimization, actions."
    assert left.reply is None
    assert triage.next_agents == ["data", "optimization", "actions", "reporting"]


@pytest.mark.parametrize("next_agents", [("data", "reporting"), ("data",)])
def test_without_any_specialist_left_the_reply_says_so(next_agents: tuple[str, ...]) -> None:
    left = _triage(*next_agents, reply="Something else.").only(Preferences(agents=frozenset()).allows)
    assert left.next_agents == []
    assert left.reply == "The agents that could answer this are switched off in the preferences: data."


def test_nobody_switches_triage_or_reporting_off() -> None:
    assert ALWAYS_ON == ("triage", "reporting")
    assert [agent.name for agent in CATALOG if Preferences(agents=frozenset()).allows(agent.name)] == [
        "triage",
        "reporting",
    ]
    alone = _triage("reporting")
    assert alone.only(Preferences(agents=frozenset()).allows) is alone


@pytest.mark.parametrize("on", SUBSETS, ids="+".join)
async def test_those_that_are_on_answer_what_they_can(mixed: Team, on: frozenset[str]) -> None:
    answered = await mixed.ask(SAVINGS, preferences=Preferences(agents=on))
    assert {evidence.agent_name for evidence in answered.state.evidence} - set(ALWAYS_ON) <= on
    assert "$" in answered.text
    assert "could not work this out" not in answered.text
    assert answered.state.triage is not None
    for name in set(SPECIALISTS) - on:
        assert name in answered.state.triage.reason


async def test_with_every_specialist_off_the_user_is_told(mixed: Team) -> None:
    answered = await mixed.ask(SAVINGS, preferences=Preferences(agents=frozenset()))
    assert "switched off in the preferences: data, optimization, actions" in answered.text
    assert answered.tools == []


async def test_a_question_that_needs_no_specialist_is_answered_with_all_of_them_off(mixed: Team) -> None:
    answered = await mixed.ask("hello", preferences=Preferences(agents=frozenset()))
    assert "switched off" not in answered.text
    assert answered.text == (await mixed.ask("hello")).text


def test_agents_are_told_the_language_and_the_time_zone() -> None:
    state = DeepAgentState(question="?", language="pt-BR", time_zone="America/Sao_Paulo")
    prompt = json.loads(state.model_dump_json(exclude_none=True))
    assert (prompt["language"], prompt["time_zone"]) == ("pt-BR", "America/Sao_Paulo")
    for field in ("`language`", "`time_zone`"):
        assert field in HOUSE_RULES


def test_without_a_language_the_questions_counts() -> None:
    prompt = json.loads(DeepAgentState(question="?").model_dump_json(exclude_none=True))
    assert "language" not in prompt
    assert prompt["time_zone"] == "UTC"
    assert "when it is absent, in the language of the question" in HOUSE_RULES
