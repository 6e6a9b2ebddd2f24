"""Conditions in a question: recognised, applied where the log allows it, and else said not to be."""

import pytest

from agents.llm.offline.conditions import find_conditions
from tests.agents.llm.conftest import MakeTeam
from tests.agents.llm.figures_checker import find_invented_figures
from tests.agents.llm.team import Team


@pytest.mark.parametrize(
    ("question", "kinds"),
    [
        ("how many requests were there at 18:30?", ["clock"]),
        ("how many requests at 6pm", ["clock"]),
        ("requests between 18:30 and 18:40?", ["clock_range"]),
        ("spend from 6 pm to 7 pm", ["clock_range"]),
        ("how many requests after 18:30", ["after"]),
        ("cost before noon", ["before"]),
        ("spend on 2023-11-16", ["date"]),
        ("requests on 2023-11-16 at 18:30", ["date", "clock"]),
        ("from 2026-03-01 to 2026-03-04", ["date_range"]),
        ("what did we spend last week?", ["other"]),
        ("what did we spend in the last 3 days?", ["other"]),
        ("spend yesterday", ["other"]),
        ("what do we pay on weekends?", ["weekend"]),
        ("requests on Mondays", ["weekday"]),
        ("what did we spend in March 2026?", ["other"]),
        ("cost on 5 March", ["other"]),
        ("requests between 1000 and 2000 tokens", ["other"]),
        ("what does bob spend?", ["name"]),
        ("how much did the search team cost?", ["name"]),
        ("what are bob's costs?", ["name"]),
        ("how many requests by alice?", ["name"]),
        ("spend for project apollo", ["name"]),
    ],
)
def test_a_condition_is_recognised(question: str, kinds: list[str]) -> None:
    assert [condition.kind for condition in find_conditions(question)] == kinds


@pytest.mark.parametrize(
    "question",
    [
        "Where does our AI spend go, and how do we cut it?",
        "what will we pay by the end of the month?",
        "what will this cost next month?",
        "which was the busiest hour?",
        "Which hours are the busiest, and what do they cost?",
        "requests per day",
        "cost by project",
        "how much does it cost per weekday of the log",
        "what share of requests has more than 4k input tokens?",
        "what if 30 % can wait until the weekend?",
        "What is the trend of our spend?",
        "what would it cost on gpt-4o-mini?",
        "how much would claude cost",
        "difference between input and output",
        "which model costs us most?",
        "how long is the longest prompt?",
        "what is the average number of output tokens?",
    ],
)
def test_what_is_no_condition_is_left_alone(question: str) -> None:
    assert find_conditions(question) == ()


@pytest.mark.parametrize(
    ("question", "texts"),
    [
        ("how many requests were there at 14:00?", ["“at 14:00”", "**20** requests"]),
        ("how many requests between 10:00 and 13:00?", ["**40** requests"]),
        ("how many requests after 10pm?", ["**20** requests"]),
        ("how many requests on 2026-03-04?", ["**12** requests"]),
        ("how many requests from 2026-03-01 to 2026-03-04?", ["**48** requests"]),
        ("how many requests on 2026-03-04 at 14:00?", ["**1** requests"]),
        ("how many requests on weekends?", ["**60** requests"]),
        ("how many requests used gpt-4o-mini?", ["“gpt-4o-mini”", "**0** requests"]),
        ("how many requests used gpt-4o?", ["**80** requests"]),
        ("how many requests for project search?", ["**120** requests"]),
    ],
)
async def test_a_condition_is_applied_to_questions_about_rows(
    mixed: Team, question: str, texts: list[str]
) -> None:
    answered = await mixed.ask(question)
    assert answered.text.startswith("Only the requests that fit ")
    assert "could not be applied" not in answered.text
    for text in texts:
        assert text in answered.text


@pytest.mark.parametrize(
    ("question", "condition"),
    [
        ("what did we spend between 18:30 and 18:40?", "between 18:30 and 18:40"),
        ("what did we spend last week?", "last week"),
        ("what does bob spend?", "does bob spend"),
        ("how much did we spend on gpt-4o?", "gpt-4o"),
        ("how many requests last week?", "last week"),
        ("how many requests in March?", "in March"),
    ],
)
async def test_an_answer_says_first_what_it_could_not_apply(
    mixed: Team, question: str, condition: str
) -> None:
    answered = await mixed.ask(question)
    assert answered.text.startswith(f"**Note**: the condition “{condition}” could not be applied; ")
    assert "**the whole log**" in answered.text.partition("\n")[0]


async def test_a_log_without_models_or_times_cannot_be_filtered_by_them(
    conv: Team, unnamed: Team, make_team: MakeTeam
) -> None:
    answered = await conv.ask("how many requests used gpt-4o-mini?")
    assert answered.text.startswith("**Note**: the condition “gpt-4o-mini” could not be applied")
    answered = await make_team(("t.csv", "input_tokens,output_tokens\n1,2\n", None)).ask("requests at 18:30")
    assert answered.text.startswith("**Note**: the condition “at 18:30” could not be applied")


async def test_the_real_log_is_counted_at_a_time_of_day(conv: Team) -> None:
    answered = await conv.ask("how many requests were there at 18:30?")
    assert "19,366" not in answered.text
    assert answered.text.startswith("Only the requests that fit “at 18:30” are counted")
    rows = conv.session.query(
        "SELECT count(*) FROM azure_llm_trace_2023_conv_csv WHERE strftime(requested_at, '%H:%M') = '18:30'"
    ).rows
    assert f"**{rows[0][0]:,}** requests" in answered.text


async def test_the_busiest_hours_are_priced(conv: Team) -> None:
    answered = await conv.ask("Which hours are the busiest, and what do they cost?")
    assert "| Busiest hours UTC |" in answered.text
    hours = answered.call("spend_breakdown").result["busiest_hours"]
    assert [hour["traffic"]["requests"] for hour in hours] == [15_606, 3_760]
    assert "**2023-11-16 18:00** UTC with 15,606 requests" in answered.text
    assert find_invented_figures(answered.state) == []
