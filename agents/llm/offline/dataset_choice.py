"""Which of the user's datasets a question is about."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from agents.state import DatasetCard, DeepAgentState, Turn

_FILE = re.compile(r"(?<![\w./-])[\w.-]+\.(?:csv|jsonl|ndjson|json)\b", re.IGNORECASE)
_PLAIN = frozenset(
    "data dataset datasets file files log logs usage trace traces export llm csv json jsonl model models "
    "spend cost "
    "costs tokens requests calls prompt prompts input output batch cache month monthly daily team project "
    "report".split()
)
_SHORTEST_WORD = 4
LISTS_DATASETS = "Your datasets, newest first:"
"""Stands in replies that list datasets and answer nothing about any of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetChoice:
    """The dataset that an answer is about."""

    card: DatasetCard | None
    """None when there is none, or when the question names one that is not there."""
    missing_name: str | None = None
    """The file that the question names and nobody has uploaded."""
    note: str | None = None
    """A sentence on why this one, when the user did not say."""


def choose_dataset(state: DeepAgentState) -> DatasetChoice:
    """Take the attached dataset, else the one named last, else the newest."""
    cards = state.datasets
    attached = [card for card in cards if card.selected]
    named = _find_named(state.question, attached or cards)
    if named is not None:
        return DatasetChoice(card=named)
    if attached:
        return DatasetChoice(card=attached[0], note=_note_on_several(attached))
    if unknown := _FILE.search(state.question):
        return DatasetChoice(card=None, missing_name=unknown[0])
    for turn in _turns_on_data(state.history):
        if (earlier := _find_earlier(turn, cards)) is not None:
            note = f'You named no dataset, so this is about the one from before, "{earlier.name}".'
            return DatasetChoice(card=earlier, note=note if len(cards) > 1 else None)
    if not cards:
        return DatasetChoice(card=None)
    note = f'You have {len(cards)} datasets and named none, so this is about the newest, "{cards[0].name}".'
    return DatasetChoice(card=cards[0], note=note if len(cards) > 1 else None)


def _turns_on_data(history: Sequence[Turn]) -> list[Turn]:
    """Return the turns that were about a dataset, the newest first."""
    turns: list[Turn] = []
    is_aside = False
    for turn in reversed(history):
        if turn.author == "assistant":
            is_aside = LISTS_DATASETS in turn.text
        if not is_aside:
            turns.append(turn)
    return turns


def _find_earlier(turn: Turn, cards: Sequence[DatasetCard]) -> DatasetCard | None:
    """Find the dataset that a turn was about; an answer names its own before any other."""
    if turn.author == "user":
        return _find_named(turn.text, cards)
    lowered = turn.text.lower()
    named = [card for card in cards if card.name.lower() in lowered]
    return min(named, key=lambda card: (lowered.find(card.name.lower()), -len(card.name)), default=None)


def without_dataset_names(text: str, cards: Sequence[DatasetCard]) -> str:
    """Cut the names of `cards` out of `text`, so that words in them are not taken for questions."""
    for card in sorted(cards, key=lambda card: -len(card.name)):
        for name in (card.name, _stem(card.name)):
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", " ", text, flags=re.IGNORECASE)
    return text


def _note_on_several(attached: Sequence[DatasetCard]) -> str | None:
    if len(attached) == 1:
        return None
    others = ", ".join(f'"{card.name}"' for card in attached[1:])
    return (
        f'You attached {len(attached)} datasets; this is about "{attached[0].name}". '
        f"Ask by name about {others}."
    )


def _find_named(text: str, cards: Sequence[DatasetCard]) -> DatasetCard | None:
    """Find the card whose full name `text` holds, or else a word that only its name has."""
    lowered = text.lower()
    full = [card for card in cards if _stem(card.name).lower() in lowered or card.id in lowered]
    if full:
        return max(full, key=lambda card: len(card.name))
    words = set(re.findall(r"[a-z]{4,}", lowered))
    hits = [card for card in cards if words & _own_words(card, cards)]
    return hits[0] if len(hits) == 1 and len(cards) > 1 else None


def _own_words(card: DatasetCard, cards: Sequence[DatasetCard]) -> set[str]:
    others = [set(_words(other.name)) for other in cards if other.id != card.id]
    return {word for word in _words(card.name) if not any(word in other for other in others)}


def _words(name: str) -> list[str]:
    words = re.findall(r"[a-z]+", name.lower())
    return [word for word in words if len(word) >= _SHORTEST_WORD and word not in _PLAIN]


def _stem(name: str) -> str:
    return _FILE_END.sub("", name) or name


_FILE_END = re.compile(r"\.(?:csv|jsonl|ndjson|json)$", re.IGNORECASE)
