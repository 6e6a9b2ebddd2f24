"""Questions that say what their run is to do, such as `scripted: name=7 steps=3 tool_s=0.2`."""

import re
from dataclasses import dataclass, fields
from typing import Self

COUNTING_TOOLS = frozenset({"count_call", "count_once"})
_WORD = re.compile(r"(\w+)=(\S+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Script:
    """What the agents of one run do."""

    name: str
    """What its calls are counted under."""
    steps: int = 0
    """Model calls of the data agent that call tools; with none, triage answers by itself."""
    parallel: int = 1
    """Tool calls of each."""
    tool: str = "count_call"
    """Which tool they call: `count_call`, `count_once`, `describe_dataset` or `endless_query`."""
    model_s: float = 0.0
    """How long a model call takes, in seconds."""
    tool_s: float = 0.0
    """How long a call of a counting tool takes, in seconds."""
    pieces: int = 1
    """How many pieces the answer is streamed in; the model call's time passes between them."""

    @classmethod
    def of(cls, question: str) -> Self:
        """Read a question."""
        stated = dict(_WORD.findall(question.partition("scripted:")[2]))
        types = {field.name: field.type for field in fields(cls)}
        return cls(**{name: _read(types[name], text) for name, text in stated.items() if name in types})

    def __str__(self) -> str:
        """Write it as a question."""
        words = (f"{field.name}={getattr(self, field.name)}" for field in fields(self))
        return f"scripted: {' '.join(words)}"

    @property
    def numbers(self) -> list[int]:
        """Return the number that each of its tool calls gives back; other tools give none."""
        if self.tool not in COUNTING_TOOLS:
            return []
        return [self.number(step, place) for step in range(self.steps) for place in range(self.parallel)]

    @staticmethod
    def number(step: int, place: int) -> int:
        """Return what a tool call gives back: no two sums of different calls are the same."""
        return 1 << (2 * step + place)


def _read(kind: object, text: str) -> object:
    return kind(text) if callable(kind) else text
