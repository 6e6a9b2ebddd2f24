"""Tools that count themselves, so that a call too many or too few is seen."""

import time

from pydantic import BaseModel

from agents.tools import Tool, ToolEnvironment
from agents.tools.definition import Parameters
from tests.scripted.counting import count


class CountParameters(Parameters):
    """What to count, and how slowly."""

    name: str
    """Name of the script."""
    number: int
    """What to return."""
    seconds: float
    """How long it takes."""


class Counted(BaseModel):
    """What a counting tool returns."""

    number: int


def _count(environment: ToolEnvironment, parameters: CountParameters) -> Counted:
    count("tool", name=parameters.name, key=environment.call_id, phase="began")
    time.sleep(parameters.seconds)
    count("tool", name=parameters.name, key=environment.call_id, phase="ended")
    return Counted(number=parameters.number)


TOOLS = tuple(
    Tool(
        name=name,
        description="Counts its calls.",
        parameters=CountParameters,
        function=_count,
        is_repeatable=is_repeatable,
    )
    for name, is_repeatable in {"count_call": True, "count_once": False}.items()
)
