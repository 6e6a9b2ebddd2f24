"""Recognition of topics, models and shares in questions."""

import time

import pytest

from agents.llm.offline.model_names import find_models
from agents.llm.offline.shares import find_share
from agents.llm.offline.topics import correct_spelling, find_topics


@pytest.mark.parametrize(
    ("question", "topics"),
    [
        ("where does our ai spend go, and how do we cut it?", {"spend_breakdown", "savings"}),
        ("Wohin gehen unsere Kosten?", {"spend_breakdown"}),
        ("cost per project", {"spend_breakdown"}),
        ("which model is the most expensive?", {"spend_breakdown"}),
        ("most expensive hour", {"trend"}),
        ("show me spikes over time", {"trend"}),
        ("compair models", {"model_comparison"}),
        ("cachng", {"caching"}),
        ("do our prompts share a common prefix?", {"caching"}),
        ("some of it could run overnight", {"batch"}),
        ("forcast next month", {"forecast"}),
        ("how much do we spend per month?", {"forecast"}),
        ("how many tokens did we use?", {"dataset_question"}),
        ("requests per hour", {"dataset_question"}),
        ("tell me about my data", {"dataset_question"}),
        ("analyse my log", {"savings"}),
        ("our bill is too high", {"savings"}),
        ("reduce our bill by using batch", {"batch"}),
        ("what can you do?", {"capabilities"}),
        ("hello there", {"small_talk"}),
        ("write me a song", {"out_of_scope"}),
        ("lorem ipsum", set()),
    ],
)
def test_topics_are_recognised(question: str, topics: set[str]) -> None:
    assert set(find_topics(question)) == topics


def test_spelling_is_corrected_towards_known_words_only() -> None:
    assert correct_spelling("wher does our spnding go") == "where does our spending go"
    assert correct_spelling("the weather in gpt-4.1-modals") == "the weather in gpt-4.1-modals"


@pytest.mark.parametrize(
    ("question", "models"),
    [
        ("gpt-4o-mini or gpt 4.1 mini?", ["gpt-4o-mini", "gpt-4.1-mini"]),
        ("gpt4o-mini", ["gpt-4o-mini"]),
        ("Claude 4.5 Sonnet", ["claude-sonnet-4-5"]),
        ("o3 and o4-mini", ["o3", "o4-mini"]),
        ("gemini 2.5 pro", ["gemini-2.5-pro"]),
        ("azure/gpt-4o", ["azure/gpt-4o"]),
        ("gpt-9.9-ultra", ["gpt-9.9-ultra"]),
        ("a command to take, 3 percent of o2", []),
    ],
)
def test_models_are_found_as_the_price_list_names_them(question: str, models: list[str]) -> None:
    assert [mention.model for mention in find_models(question)] == models


@pytest.mark.parametrize(
    ("family", "start"), [("claude sonnet", "claude-sonnet-"), ("haiku", "claude-haiku-")]
)
def test_a_family_means_its_latest_version(family: str, start: str) -> None:
    (mention,) = find_models(f"switch to {family}?")
    assert mention.model.startswith(start)
    assert mention.model >= f"{start}4-5"


@pytest.mark.parametrize(
    ("question", "share"),
    [
        ("if 30 % can wait", 0.3),
        ("12.5% can wait", 0.125),
        ("40 percent", 0.4),
        ("half of it", 0.5),
        ("two thirds can wait", 0.6667),
        ("a third", 0.3333),
        ("all of it", 1.0),
        ("150 %", 1.5),
        ("some", None),
    ],
)
def test_shares_are_read(question: str, share: float | None) -> None:
    assert find_share(question) == share


@pytest.mark.parametrize(
    "part", ["a.", "-", "gpt-4o-", "claude 4 ", "what costs ", "hi ", "select ", "zqxjk "]
)
def test_the_longest_message_is_read_quickly(part: str) -> None:
    text = (part * 10_000)[:9_999] + "!"
    started = time.process_time()
    find_topics(text)
    find_models(text)
    find_share(text)
    assert time.process_time() - started < 1
