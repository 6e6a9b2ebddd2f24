"""The offline analyst as a Pydantic AI model: one policy an agent, streamed like any model's answer."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import cache

from pydantic import BaseModel
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, DeltaToolCalls, FunctionModel
from pydantic_core import to_json

from . import actions, data, optimization, reporting, triage
from .conversation import Conversation, Decision, ToolCall, read_conversation

MODEL_NAME = "offline"
"""The setting that selects the offline analyst, and the model's name in events and messages."""

_POLICIES: dict[str, Callable[[Conversation], Decision]] = {
    "triage": triage.decide,
    "data": data.decide,
    "optimization": optimization.decide,
    "actions": actions.decide,
    "reporting": reporting.decide,
}
_WORDS_PER_CHUNK = 12


@cache
def offline_model(agent_name: str) -> FunctionModel:
    """Return the offline analyst in the role of one agent.

    Raises:
        KeyError: There is no such agent.

    """
    decide = _POLICIES[agent_name]

    async def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        decision = decide(read_conversation(messages, info))
        called = _called(decision, info)
        if called is None:
            return ModelResponse(parts=[TextPart(_text(decision))])
        name, arguments = called
        return ModelResponse(parts=[ToolCallPart(tool_name=name, args=arguments)])

    async def stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str | DeltaToolCalls]:
        decision = decide(read_conversation(messages, info))
        called = _called(decision, info)
        if called is None:
            for chunk in _chunks(_text(decision)):
                yield chunk
                # A model that answers over a network lets others run between its chunks; so does this one.
                await asyncio.sleep(0)
        else:
            name, arguments = called
            yield {0: DeltaToolCall(name=name, json_args=arguments)}

    return FunctionModel(answer, stream_function=stream, model_name=MODEL_NAME)


def _called(decision: Decision, info: AgentInfo) -> tuple[str, str] | None:
    """Return the tool (an output tool, too) to call and its arguments; None for plain text."""
    if isinstance(decision, ToolCall):
        return decision.tool_name, to_json(decision.params).decode()
    if isinstance(decision.value, BaseModel) and info.output_tools:
        return info.output_tools[0].name, decision.value.model_dump_json()
    return None


def _text(decision: Decision) -> str:
    assert not isinstance(decision, ToolCall)
    return decision.value if isinstance(decision.value, str) else decision.value.model_dump_json()


def _chunks(text: str) -> Iterator[str]:
    """Cut `text` into groups of words; joined they are `text` again."""
    words: Sequence[str] = re.findall(r"\S+\s*|\s+", text)
    for start in range(0, len(words), _WORDS_PER_CHUNK):
        yield "".join(words[start : start + _WORDS_PER_CHUNK])
