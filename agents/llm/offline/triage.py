"""Triage: which question, which dataset, which agents."""

from typing import Literal

from agents.state import Category, DatasetCard, DeepAgentState, TriageResult

from .conversation import Conversation, Decision, Output
from .dataset_choice import DatasetChoice, choose_dataset
from .figures import whole_share
from .question import Question, read_question
from .replies import (
    answer_small_talk,
    ask_for_model,
    describe_abilities,
    report_missing_data,
    report_missing_file,
    report_out_of_scope,
)
from .task import Entities

AgentName = Literal["data", "optimization", "actions", "reporting"]

_ORDER: tuple[AgentName, ...] = ("data", "optimization", "actions", "reporting")
_AGENTS: dict[Category, tuple[AgentName, ...]] = {
    "spend_breakdown": ("data",),
    "trend": ("data",),
    "dataset_question": ("data",),
    "model_comparison": ("optimization",),
    "forecast": ("optimization",),
    "caching": ("optimization", "actions"),
    "batch": ("optimization", "actions"),
    "savings": ("data", "optimization", "actions"),
}
_ASKED: dict[str, tuple[AgentName, Category]] = {
    "data": ("data", "spend_breakdown"),
    "optimization": ("optimization", "model_comparison"),
    "actions": ("actions", "savings"),
}
_WORDS: dict[Category, str] = {
    "spend_breakdown": "where the spend goes",
    "trend": "how the spend moves over time",
    "model_comparison": "what other models would cost",
    "savings": "how to pay less",
    "caching": "what prompt caching does",
    "batch": "what batch processing saves",
    "forecast": "what the spend will be",
    "dataset_question": "what the log holds",
}


def decide(conversation: Conversation) -> Decision:
    """Understand the question and hand it to those who can answer it, or answer it at once."""
    state = conversation.state
    choice = choose_dataset(state)
    question = read_question(state, choice.card)
    return Output(value=_triage(state, choice, question))


def _triage(state: DeepAgentState, choice: DatasetChoice, question: Question) -> TriageResult:
    topics = question.topics
    cards = state.datasets
    if not topics and state.asked_agent in _ASKED:
        topics = (_ASKED[state.asked_agent][1],)
    if not topics or topics[0] == "out_of_scope":
        reply = report_out_of_scope(cards)
        return _reply("out_of_scope", "Nothing in it is about the usage or the cost of models.", reply)
    if topics[0] == "small_talk":
        return _reply("small_talk", "A greeting needs no analysis.", answer_small_talk(cards))
    if topics[0] == "capabilities":
        return _reply("capabilities", "Asked about Netra itself.", describe_abilities(cards))
    if choice.missing_name is not None:
        reply = report_missing_file(choice.missing_name, cards)
        return _reply("missing_data", "The dataset that the question names is not there.", reply)
    if choice.card is None:
        return _reply("missing_data", "There is no dataset to answer it from.", report_missing_data())
    return _hand_off(state, choice, question, topics)


def _hand_off(
    state: DeepAgentState, choice: DatasetChoice, question: Question, topics: tuple[Category, ...]
) -> TriageResult:
    card = choice.card
    assert card is not None
    notes = [choice.note] if choice.note else []
    assumed, models = question.assumed, list(question.models)
    current = assumed.model if assumed is not None else card.assumed_model
    if set(topics) != {"dataset_question"} and not card.names_models and current is None:
        if not models:
            reason = "The log names no model, and without one nothing can be priced."
            return _reply(topics[0], reason, ask_for_model(card), card)
        # The user named the model whose prices count; so taking it is no guess.
        assumed = models.pop(0)
        current = assumed.model
        if not models:
            topics = tuple(dict.fromkeys(_priced_alone(topic) for topic in topics))
    others = [mention for mention in models if mention.model != current]
    if models and not others:
        topics = tuple(dict.fromkeys(_priced_alone(topic) for topic in topics))
    notes += [
        f"{mention.written} was taken as {mention.model}."
        for mention in (*([assumed] if assumed else []), *others)
        if mention.model != mention.written.lower().replace(" ", "-")
    ]
    share = question.share if "batch" in topics else None
    if share is not None and share > 1:
        notes.append(f"{whole_share(share)} is more than everything, so the usual share was taken.")
        share = None
    entities = Entities(
        topics=topics,
        models=tuple(mention.model for mention in others),
        assume_model=assumed.model if assumed is not None and assumed.model != card.assumed_model else None,
        filters_by=_filters_by(card, question, topics),
        batch_share=share,
        notes=tuple(notes),
    )
    return TriageResult(
        category="savings" if "savings" in topics else topics[0],
        reason=f'Asked {" and ".join(_WORDS[topic] for topic in topics)}, on the dataset "{card.name}".',
        dataset_id=card.id,
        next_agents=_agents_for(topics, state.asked_agent),
        entities=entities.model_dump(mode="json", exclude_defaults=True),
    )


def _filters_by(card: DatasetCard, question: Question, topics: tuple[Category, ...]) -> tuple[str, ...]:
    """Return the models that a question asks about in the log, as opposed to those it compares with."""
    if "model_comparison" in topics or not (card.names_models or "dataset_question" in topics):
        return ()
    return tuple(mention.written for mention in question.models)


def _priced_alone(topic: Category) -> Category:
    """Make a comparison with nothing left to compare a plain question of cost."""
    return "spend_breakdown" if topic == "model_comparison" else topic


def _agents_for(topics: tuple[Category, ...], asked: str | None) -> list[AgentName]:
    if asked in _ASKED:
        return [_ASKED[asked][0], "reporting"]
    wanted = {agent for topic in topics for agent in _AGENTS[topic]} | {"reporting"}
    return [agent for agent in _ORDER if agent in wanted]


def _reply(category: Category, reason: str, reply: str, card: DatasetCard | None = None) -> TriageResult:
    return TriageResult(
        category=category, reason=reason, reply=reply, dataset_id=card.id if card is not None else None
    )
