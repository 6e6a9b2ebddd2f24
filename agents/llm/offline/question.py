"""A question as the offline analyst understands it: topics, models, shares."""

import re
from dataclasses import dataclass

from agents.state import Category, DatasetCard, DeepAgentState

from .dataset_choice import without_dataset_names
from .model_names import ModelMention, find_models
from .shares import find_share
from .topics import find_topics

ASKS_FOR_MODEL = "Which model should I assume?"
"""Stands in the reply that asks for a model, so that the next message is understood as the answer."""

_ASSUME = re.compile(
    r"\b(?:assum\w+|suppos\w+|pretend\w*|we (?:use|run|are on|'re on)|it(?:'s| is| was)|as if (?:it|we"
    r"|they) (?:were|was|used|ran)"
    r"|price it (?:as|at|with)|based on|take|nimm|angenommen)\b[^.?!,;]{0,30}$",
    re.IGNORECASE,
)
_FOLLOWS = re.compile(
    r"^\W*(and|why|how so|more|details?|explain|go on|continue|yes|ok|please|again"
    r"|what about|how about|und)\b",
    re.IGNORECASE,
)
_HYPOTHETICAL = re.compile(
    r"\b(would|if|instead|switch\w*|mov(e|ing)|compar\w+|versus|vs|cheaper|dearer|rather|what about"
    r"|how about|could)\b",
    re.IGNORECASE,
)
_SHORT_WORDS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked."""

    topics: tuple[Category, ...]
    """The strongest first; empty when nothing is recognised."""
    models: tuple[ModelMention, ...]
    """Models to compare with."""
    assumed: ModelMention | None
    """The model that the user says to assume, now or earlier in the conversation."""
    share: float | None
    """A share of the traffic that the question names, as a part of one."""


def read_question(state: DeepAgentState, card: DatasetCard | None) -> Question:
    """Understand the question, together with what was said before where it leans on that."""
    text = without_dataset_names(state.question, state.datasets)
    mentions = find_models(text)
    topics = find_topics(text)
    assumed, models = _split_assumed(text, mentions)
    if _answers_model_question(state, mentions, text):
        assumed, models, topics = mentions[0], (), _earlier_topics(state) or ("spend_breakdown",)
    elif models and _means_comparison(text, topics, card):
        others = (
            topic for topic in topics if topic not in {"spend_breakdown", "savings", "dataset_question"}
        )
        topics = tuple(dict.fromkeys(("model_comparison", *others)))
    elif not topics and _leans_on_before(text):
        topics = _earlier_topics(state)
    return Question(
        topics=topics,
        models=models,
        assumed=assumed or _earlier_assumption(state),
        share=find_share(text),
    )


def _split_assumed(
    text: str, mentions: tuple[ModelMention, ...]
) -> tuple[ModelMention | None, tuple[ModelMention, ...]]:
    for mention in mentions:
        if _ASSUME.search(text[: text.find(mention.written)]):
            return mention, tuple(other for other in mentions if other != mention)
    return None, mentions


def _means_comparison(text: str, topics: tuple[Category, ...], card: DatasetCard | None) -> bool:
    if "model_comparison" in topics or not topics:
        return True
    if not set(topics) <= {"spend_breakdown", "savings", "dataset_question"}:
        return False
    # "What did we spend on gpt-4o" looks into a log that names models; "what would it cost" looks elsewhere.
    names_models = card is not None and card.names_models
    return bool(_HYPOTHETICAL.search(text)) or ("spend_breakdown" in topics and not names_models)


def _answers_model_question(state: DeepAgentState, mentions: tuple[ModelMention, ...], text: str) -> bool:
    before = [turn for turn in state.history if turn.author == "assistant"]
    return (
        len(mentions) == 1
        and bool(before)
        and ASKS_FOR_MODEL in before[-1].text
        and len(text.split()) <= _SHORT_WORDS
    )


def _leans_on_before(text: str) -> bool:
    return bool(_FOLLOWS.match(text)) and len(text.split()) <= _SHORT_WORDS


def _earlier_topics(state: DeepAgentState) -> tuple[Category, ...]:
    for turn in reversed(state.history):
        if turn.author == "user":
            topics = find_topics(without_dataset_names(turn.text, state.datasets))
            if topics and not {"small_talk", "capabilities", "out_of_scope"} & set(topics):
                return topics
    return ()


def _earlier_assumption(state: DeepAgentState) -> ModelMention | None:
    asked = False
    found: ModelMention | None = None
    for turn in state.history:
        if turn.author == "assistant":
            asked = ASKS_FOR_MODEL in turn.text
            continue
        mentions = find_models(without_dataset_names(turn.text, state.datasets))
        assumed, _ = _split_assumed(turn.text, mentions)
        found = assumed or (mentions[0] if asked and len(mentions) == 1 else found)
        asked = False
    return found
