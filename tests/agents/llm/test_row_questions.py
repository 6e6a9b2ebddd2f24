"""SQL for questions about rows: what it answers on a log whose figures are known."""

import json
from typing import Any

import pytest

from agents.analysis.description import describe_dataset
from agents.llm.offline.row_questions import write_sql
from tests.agents.llm.conftest import MakeTeam
from tests.agents.llm.team import Team


def answer(team: Team, question: str) -> list[tuple[Any, ...]] | None:
    sql = write_sql(question, describe_dataset(team.session, team.cards[0].id))
    return None if sql is None else list(team.session.query(sql).rows)


@pytest.mark.parametrize(
    ("question", "first_row"),
    [
        ("how many requests?", (240,)),
        ("how many rows?", (240, 240)),
        ("how many models?", (3,)),
        ("how many different projects are there?", (2,)),
        ("average input tokens", (1836.5,)),
        ("median output tokens", (219.5,)),
        ("p90 of output tokens", (315.1,)),
        ("the longest output", (339,)),
        ("smallest input", (1000,)),
        ("total output tokens", (52_680,)),
        ("how many tokens?", (440_760, 52_680, 493_440)),
        ("how many cached tokens?", (0,)),
        ("ratio of input to output", (8.37,)),
        ("how many requests have more than 2.5k input tokens?", (25, 240, 10.42)),
        ("share of requests with at most 1,000 input tokens", (1, 240, 0.42)),
        ("requests with >= 2,673 input tokens", (1, 240, 0.42)),
        ("busiest day", ("2026-03-01T00:00:00", 12, 12_462, 1_266)),
        ("requests per project", ("chat", 120, 220_800, 26_400)),
        ("requests by model", ("claude-sonnet-4-5", 80, 146_920, 17_560)),
        ("requests per day", ("2026-03-01T00:00:00", 12, 12_462, 1_266)),
        ("requests per weekday", ("Friday", 36, 73_674, 8_982)),
        ("top 2 requests", (240, "2026-03-20T22:00:00", "house-model-7b", 2_673, 339)),
        ("what time range is it?", ("2026-03-01T00:00:00", "2026-03-20T22:00:00", 1_720_800, 240)),
    ],
)
def test_a_question_becomes_sql_with_the_right_answer(
    mixed: Team, question: str, first_row: tuple[Any, ...]
) -> None:
    rows = answer(mixed, question)
    assert rows is not None
    assert rows[0] == first_row


def test_relative_times_are_counted_from_the_start(make_team: MakeTeam) -> None:
    lines = [
        json.dumps(
            {"timestamp": 60_000 * minute, "input_length": minute, "output_length": 1, "hash_ids": [7]}
        )
        for minute in range(1, 100)
    ]
    team = make_team(("trace.jsonl", "\n".join(lines), None))
    assert answer(team, "busiest hour") == [(0, 60, 1_830, 60), (1, 39, 3_120, 39)]
    assert answer(team, "requests per weekday") is None
    assert answer(team, "how long is it?") == [(98 * 60, 99)]


def test_a_select_statement_is_taken_as_it_is(mixed: Team) -> None:
    assert answer(mixed, "SELECT count(*)\nFROM mixed_csv WHERE model = 'gpt-4o'") == [(80,)]


def test_what_fits_no_rule_gets_no_sql(mixed: Team) -> None:
    assert answer(mixed, "what is in this dataset?") is None
