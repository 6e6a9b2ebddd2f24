"""Finds figures in an answer that no tool result holds."""

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from agents.state import DeepAgentState

_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
_NO_FIGURES = re.compile(
    r"\]\([^)]*\)"  # addresses of charts
    r"|^\s*(?:\*\*)?\d+\. "  # ordinals of lists
    r"|95 % are below",  # a column's heading
    re.MULTILINE,
)


def find_invented_figures(state: DeepAgentState) -> list[str]:
    """Return the numbers of the answer that are no number of the evidence, even rounded."""
    known = sorted(set(_known_numbers(state)))
    text = _NO_FIGURES.sub("", state.answer or "")
    return [written for written in _NUMBER.findall(text) if not _is_known(written.rstrip(","), known)]


def _is_known(written: str, known: list[Decimal]) -> bool:
    number = Decimal(written.replace(",", ""))
    places = -int(number.as_tuple().exponent)
    tolerance = Decimal(1).scaleb(-places) / 2
    return any(abs(number - abs(value)) <= tolerance if places else number == abs(value) for value in known)


def _known_numbers(state: DeepAgentState) -> Iterator[Decimal]:
    cards = [card.model_dump(mode="json") for card in state.datasets]
    yield from _numbers_in([cards, state.question])
    for evidence in state.evidence:
        yield from _numbers_in([evidence.params, evidence.result])
        # The cost after a measure is its baseline minus its saving, both of them figures of the plan.
        for option in evidence.result.get("options", ()):
            yield Decimal(option["baseline_cost_usd"]) - Decimal(option["saving_usd"])


def _numbers_in(value: Any) -> Iterator[Decimal]:
    match value:
        case bool() | None:
            return
        case int() | float():
            number = Decimal(str(value))
            yield number
            if isinstance(value, float):
                yield number * 100  # Shares are written as percentages.
        case str():
            for text in _NUMBER.findall(value):
                number = Decimal(text.replace(",", ""))
                yield number
                yield Decimal(int(number))  # Times are written without fractions of a second.
        case dict():
            for key, inner in value.items():
                yield from _numbers_in(key)
                yield from _numbers_in(inner)
        case list() | tuple():
            for inner in value:
                yield from _numbers_in(inner)
