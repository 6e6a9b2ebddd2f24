"""A model that does what the question says, counts its calls, and answers with what the tools gave it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic_ai.messages import ModelMessage, ModelResponse, ToolReturnPart, UserPromptPart
from pydantic_ai.models import Model
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, DeltaToolCalls, FunctionModel
from pydantic_core import to_json

from agents.state import DeepAgentState, Findings, TriageResult
from tests.scripted.counting import count
from tests.scripted.question import Script

MODEL_NAME = "scripted"
ENDLESS = "SELECT count(*) FROM range(1000000000000) a, range(1000000) b"


def scripted_model(agent_name: str) -> Model:
    """Return the model in the role of one agent: triage hands off to data, and that to reporting."""

    async def stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str | DeltaToolCalls]:
        state = _state(messages)
        script = Script.of(state.question)
        number = sum(isinstance(message, ModelResponse) for message in messages)
        call = {"name": script.name, "key": f"{agent_name}.{number}"}
        count("model", **call, phase="began")
        pieces = _pieces(agent_name, script, state, messages, number, info)
        for piece in pieces:
            await asyncio.sleep(script.model_s / len(pieces))
            yield piece
        count("model", **call, phase="ended")

    return FunctionModel(stream_function=stream, model_name=MODEL_NAME)


def expected_answer(script: Script) -> str:
    """Return the answer to a script's question where every call was made, and its result used, once."""
    return _answer(script, script.numbers, script.numbers, [])


def _pieces(
    agent_name: str,
    script: Script,
    state: DeepAgentState,
    messages: Sequence[ModelMessage],
    number: int,
    info: AgentInfo,
) -> Sequence[str | DeltaToolCalls]:
    if agent_name == "data" and number < script.steps:
        return [dict(enumerate(_tool_call(script, state, number, place) for place in range(script.parallel)))]
    output = _output(agent_name, script, state, messages)
    if isinstance(output, BaseModel):
        return [{0: DeltaToolCall(name=info.output_tools[0].name, json_args=output.model_dump_json())}]
    length = -(-len(output) // script.pieces)
    return [output[start : start + length] for start in range(0, len(output), length)]


def _tool_call(script: Script, state: DeepAgentState, step: int, place: int) -> DeltaToolCall:
    tool: dict[str, tuple[str, dict[str, Any]]] = {
        "describe_dataset": ("describe_dataset", {}),
        "endless_query": ("query_dataset", {"sql": ENDLESS}),
    }
    if script.tool in tool:
        name, params = tool[script.tool]
        params = params | {"dataset_id": state.datasets[0].id}
    else:
        name = script.tool
        params = {"name": script.name, "number": script.number(step, place), "seconds": script.tool_s}
    return DeltaToolCall(name=name, json_args=to_json(params).decode())


def _output(
    agent_name: str, script: Script, state: DeepAgentState, messages: Sequence[ModelMessage]
) -> BaseModel | str:
    if agent_name == "triage":
        return TriageResult(
            category="dataset_question" if script.steps else "small_talk",
            reason="The question says so.",
            next_agents=["data", "reporting"] if script.steps else [],
            reply=None if script.steps else _answer(script, [], [], []),
        )
    if agent_name == "data":
        numbers, problems = _tool_returns(messages)
        return Findings(summary=" ".join(map(str, numbers)), problems=problems)
    assert state.data is not None
    seen = [item.result["number"] for item in state.evidence if "number" in item.result]
    return _answer(script, [int(number) for number in state.data.summary.split()], seen, state.data.problems)


def _answer(script: Script, returned: list[int], evidence: list[int], problems: list[str]) -> str:
    return (
        f"{script.name}: the tools returned {len(returned)} numbers with the sum {sum(returned)}; "
        f"the evidence has {len(evidence)} with the sum {sum(evidence)}. "
        f"Problems: {', '.join(problems) or 'none'}."
    )


def _tool_returns(messages: Sequence[ModelMessage]) -> tuple[list[int], list[str]]:
    """Return the numbers that tools gave back, and the codes of the errors."""
    numbers, problems = [], []
    for message in messages:
        for part in message.parts:
            if isinstance(part, ToolReturnPart) and isinstance(part.content, dict):
                if "number" in part.content:
                    numbers.append(part.content["number"])
                elif "error" in part.content:
                    problems.append(part.content["error"]["code"])
    return numbers, problems


def _state(messages: Sequence[ModelMessage]) -> DeepAgentState:
    (prompt,) = (
        part.content for message in messages for part in message.parts if isinstance(part, UserPromptPart)
    )
    return DeepAgentState.model_validate_json(str(prompt))
