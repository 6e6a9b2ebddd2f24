"""The same work by Pydantic AI's agents alone: same model, prompts, tools and types; nothing is kept."""

import asyncio
from functools import cache
from typing import Any

from pydantic_ai import Agent, AgentRunResultEvent
from pydantic_ai.usage import UsageLimits

from agents.catalog import CATALOG
from agents.state import DeepAgentState, Evidence, TriageResult
from benchmarks.runs.script import QUESTION
from benchmarks.scripted import find, scripted_model


def look_up(subject: str) -> dict[str, Any]:
    """Look up figures on a subject."""
    return find(subject).model_dump(mode="json")


def list_datasets() -> dict[str, Any]:
    """List the usage logs that the user may read."""
    return {"datasets": [], "total": 0}


@cache
def _agent(name: str) -> Agent[None, Any]:
    specification = next(item for item in CATALOG if item.name == name)
    return Agent(
        scripted_model(name),
        name=name,
        output_type=specification.output_type,
        instructions=specification.instructions,
        tools=[list_datasets] if name == "triage" else [look_up],
        retries=2,
    )


async def run_bare(*, streams: bool) -> str:
    """Carry out one run and return its answer; with `streams` its text is seen as it is written."""
    state = DeepAgentState(question=QUESTION)
    listed = await asyncio.to_thread(list_datasets)
    state.evidence.append(Evidence(agent_name="triage", tool_name="list_datasets", params={}, result=listed))
    triage = await _step("triage", state, streams=streams)
    assert isinstance(triage, TriageResult)
    state.triage = triage
    answer = ""
    for name in triage.next_agents:
        answer = await _step(name, state, streams=streams)
    return answer


async def _step(name: str, state: DeepAgentState, *, streams: bool) -> Any:
    prompt = state.model_dump_json(exclude_none=True)
    limits = UsageLimits(request_limit=12)
    if not streams:
        return (await _agent(name).run(prompt, usage_limits=limits)).output
    async with _agent(name).run_stream_events(prompt, usage_limits=limits) as events:
        async for event in events:
            if isinstance(event, AgentRunResultEvent):
                return event.result.output
    raise RuntimeError("The agent gave no result.")
