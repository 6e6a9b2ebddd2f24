"""Which topics a question asks for, by weighted words; spelling mistakes are forgiven."""

import re
from collections.abc import Mapping
from difflib import get_close_matches

from agents.state import Category

from .topic_words import KNOWN, RULES, SMALL_TALK, UNRELATED, VOCABULARY

BUSY_HOURS = re.compile(r"\b(busiest|busy|rush|peak)\b.{0,12}\bhours?\b|\bhours?\b.{0,12}\b(busiest|busy)\b")
"""A question about the hours with the most requests."""
COST_WORDS = re.compile(r"\b(costs?|spend\w*|spent|pay|price[sd]?|money|expens\w*|usd)\b")
"""A question about money."""
STRONG = 2
"""Weight from which a topic counts by itself; weaker ones count only where nothing is strong."""


def find_topics(question: str) -> tuple[Category, ...]:
    """Return what `question` asks for, the strongest first; empty when nothing is recognised."""
    text = correct_spelling(question.lower())
    if SMALL_TALK.match(text):
        return ("small_talk",)
    if BUSY_HOURS.search(text) and COST_WORDS.search(text):
        return ("trend",)
    weights = {topic: _weigh(rules, text) for topic, rules in RULES.items()}
    if UNRELATED.search(text) and max(weights.values()) <= STRONG:
        return ("out_of_scope",)
    topics = [topic for topic, weight in weights.items() if weight >= STRONG]
    topics = topics or [topic for topic, weight in weights.items() if weight > 0]
    topics.sort(key=lambda topic: -weights[topic])
    return _without_shadows(topics, weights)


def correct_spelling(text: str) -> str:
    """Replace words that are almost one of the words that matter here by that word."""

    def corrected(match: re.Match[str]) -> str:
        word = match[0]
        if word in KNOWN or word in VOCABULARY:
            return word
        close = get_close_matches(word, VOCABULARY, n=1, cutoff=0.84)
        return close[0] if close else word

    return re.sub(r"(?<![\w.-])[a-z]{4,14}(?![\w.-]*[\d_.-]\w)", corrected, text)


def _weigh(rules: tuple[tuple[str, int], ...], text: str) -> int:
    return sum(weight for pattern, weight in rules if re.search(pattern, text))


def _without_shadows(topics: list[Category], weights: Mapping[Category, int]) -> tuple[Category, ...]:
    """Leave out topics that others of the same question make superfluous."""
    kept = set(topics)
    if "capabilities" in kept and topics[0] == "capabilities":
        return ("capabilities",)
    kept.discard("capabilities")
    particular = kept & {"caching", "batch", "model_comparison", "forecast", "trend"}
    # "What would batch save" asks for batch alone; only a strong word makes it a question about spend, too.
    if particular and weights["spend_breakdown"] <= STRONG + 1:
        kept.discard("spend_breakdown")
    if kept & {"caching", "batch", "model_comparison"} and weights["savings"] <= STRONG:
        kept.discard("savings")
    money = kept & {"spend_breakdown", "savings", "model_comparison", "caching", "batch", "forecast", "trend"}
    if money and weights["dataset_question"] < STRONG + 1:
        kept.discard("dataset_question")
    if "dataset_question" in kept and weights["dataset_question"] > STRONG:
        kept -= {topic for topic in money if weights[topic] <= STRONG}
    return tuple(topic for topic in topics if topic in kept)
