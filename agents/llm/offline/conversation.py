"""What an offline agent sees: the team's state, and what its own tools have answered so far."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    RetryFeedbackPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo

from agents.state import DeepAgentState

_UNANSWERED = "The tool gave no result."


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolAnswer:
    """What became of one tool call of the agent."""

    tool_name: str
    params: Mapping[str, Any]
    result: dict[str, Any] | None
    """What the tool returned; None when it failed."""
    error: str | None
    """Why it failed, as a sentence; None when it did not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """Everything an offline agent decides from."""

    state: DeepAgentState
    answers: tuple[ToolAnswer, ...]
    """The agent's own tool calls, oldest first."""
    tools: Mapping[str, frozenset[str]]
    """Names of the parameters of each tool that it may call."""

    def has_called(self, tool_name: str) -> bool:
        """Tell whether the agent has called this tool, with or without success."""
        return any(answer.tool_name == tool_name for answer in self.answers)

    @property
    def problems(self) -> list[str]:
        """The sentences of the tools that failed."""
        return [
            f"{answer.tool_name} gave no result: {answer.error}"
            for answer in self.answers
            if answer.error is not None
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """The decision to call a tool."""

    tool_name: str
    params: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """The decision to be done, with this result."""

    value: BaseModel | str


Decision = ToolCall | Output


def read_conversation(messages: Sequence[ModelMessage], info: AgentInfo) -> Conversation:
    """Read the state from the last user prompt, and the tool answers that came after it.

    Raises:
        ValueError: There is no user prompt, or it is not the JSON of a `DeepAgentState`.

    """
    start, prompt = _last_prompt(messages)
    calls: dict[str, tuple[str, dict[str, Any]]] = {}
    answers: list[ToolAnswer] = []
    names = {tool.name for tool in info.function_tools}
    for message in messages[start:]:
        if isinstance(message, ModelResponse):
            calls |= {call.tool_call_id: (call.tool_name, call.args_as_dict()) for call in message.tool_calls}
            continue
        for part in message.parts:
            if isinstance(part, ToolReturnPart) and part.tool_name in names:
                _, params = calls.get(part.tool_call_id, ("", {}))
                answers.append(_read_answer(part, params))
            elif isinstance(part, RetryFeedbackPart):
                raise ValueError(f"The output of the offline analyst was refused: {part.content}")
    return Conversation(
        state=DeepAgentState.model_validate_json(prompt),
        answers=tuple(answers),
        tools={
            tool.name: frozenset(tool.parameters_json_schema.get("properties", {}))
            for tool in info.function_tools
        },
    )


def _last_prompt(messages: Sequence[ModelMessage]) -> tuple[int, str]:
    for position in range(len(messages) - 1, -1, -1):
        message = messages[position]
        if isinstance(message, ModelRequest):
            for part in message.parts:
                if isinstance(part, UserPromptPart) and isinstance(part.content, str):
                    return position, part.content
    raise ValueError("The offline analyst needs the team's state as its prompt.")


def _read_answer(part: ToolReturnPart, params: dict[str, Any]) -> ToolAnswer:
    name = part.tool_name or ""
    if part.outcome != "success":
        return ToolAnswer(tool_name=name, params=params, result=None, error=_sentence(part.content))
    content = part.content
    if isinstance(content, str):
        content = json.loads(content)
    if isinstance(content, BaseModel):
        content = content.model_dump(mode="json")
    if not isinstance(content, dict):
        return ToolAnswer(tool_name=name, params=params, result=None, error=_UNANSWERED)
    if "error" in content:
        return ToolAnswer(tool_name=name, params=params, result=None, error=_sentence(content["error"]))
    return ToolAnswer(tool_name=name, params=params, result=dict(content), error=None)


def _sentence(content: Any) -> str:
    if isinstance(content, dict):
        content = content.get("message") or content.get("error") or content
    return content if isinstance(content, str) else json.dumps(content, default=str)
