"""A model that answers from a script, and a tool for it: for measuring what goes on around them.

A run takes five steps: triage reads the list of datasets and hands over; reporting calls `look_up`, and
writes its answer. That is three answers of the model and two results of tools.
"""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from functools import cache

from pydantic import BaseModel
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, DeltaToolCalls, FunctionModel

from agents.state import TriageResult
from agents.tools import Tool, ToolEnvironment
from agents.tools.definition import Parameters
from benchmarks.runs.script import SECONDS_VARIABLE

MODEL_NAME = "scripted"

_TRIAGE = TriageResult(
    category="spend_breakdown",
    reason="The question is about the spend, and the figures are at hand.",
    next_agents=["reporting"],
)
_ROWS = 12
_TABLE = "".join(f"| model-{number} | {1_000 - number:,} | ${number}.25 |\n" for number in range(_ROWS))
_ANSWER = f"""\
**Most of the spend goes to one model.** A cheaper one answers the short questions as well.

| model | requests | cost |
|---|---:|---:|
{_TABLE}"""


class Subject(Parameters):
    """What to look up."""

    subject: str
    """A word."""


class Row(BaseModel):
    """Some figures."""

    model: str
    requests: int
    cost_usd: str


class Found(BaseModel):
    """What was looked up."""

    subject: str
    rows: list[Row]


def find(subject: str) -> Found:
    """Return some figures on a subject."""
    rows = [Row(model=f"model-{n}", requests=1_000 - n, cost_usd=f"{n}.25") for n in range(_ROWS)]
    return Found(subject=subject, rows=rows)


def _look_up(environment: ToolEnvironment, parameters: Subject) -> Found:
    return find(parameters.subject)


LOOK_UP = Tool(
    name="look_up",
    description="Look up figures on a subject.",
    parameters=Subject,
    function=_look_up,
)


@cache
def scripted_model(agent_name: str) -> FunctionModel:
    """Return the model in the role of one agent; only `triage` and `reporting` have one."""

    async def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        await _think()
        said = _decide(agent_name, messages, info)
        if isinstance(said, str):
            return ModelResponse(parts=[TextPart(said)])
        return ModelResponse(parts=[ToolCallPart(tool_name=said[0], args=said[1])])

    async def stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str | DeltaToolCalls]:
        await _think()
        said = _decide(agent_name, messages, info)
        if isinstance(said, str):
            for line in re.findall(r".*\n", said):
                yield line
                await asyncio.sleep(0)
        else:
            yield {0: DeltaToolCall(name=said[0], json_args=said[1])}

    return FunctionModel(answer, stream_function=stream, model_name=MODEL_NAME)


async def _think() -> None:
    await asyncio.sleep(float(os.environ.get(SECONDS_VARIABLE) or 0))


def _decide(agent_name: str, messages: list[ModelMessage], info: AgentInfo) -> str | tuple[str, str]:
    """Return the text to say, or the tool (an output tool, too) to call and its arguments."""
    if agent_name == "triage":
        return info.output_tools[0].name, _TRIAGE.model_dump_json()
    has_looked_up = any(isinstance(part, ToolReturnPart) for message in messages for part in message.parts)
    return _ANSWER if has_looked_up else (LOOK_UP.name, '{"subject": "spend"}')
