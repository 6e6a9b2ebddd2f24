"""The numbered events of a run, as the socket sends them."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from agents.state import Recommendation
from agents.waiting import Cause
from realtime.protocol.base import Frame


class RunEventFrame(Frame):
    """An event of a run; committed before it is sent, and kept as long as the run."""

    seq: Annotated[int, Field(ge=1)]
    """Its number in the run: 1, 2, 3 … without gap or repeat."""
    run_id: UUID
    """The run."""
    thread_id: UUID
    """The run's thread."""
    user_id: UUID
    """The run's owner."""
    agent_name: str
    """The agent at work; empty when none is."""
    timestamp: datetime
    """When it happened (UTC)."""


class QueuedData(Frame):
    """What was asked."""

    text: str
    """The question."""
    dataset_ids: list[UUID]
    """The datasets it is about."""
    agent: str | None
    """The agent asked for by name, if any."""
    position: Annotated[int, Field(ge=0)] = 0
    """Its place in the user's line when it was asked: 1 for the next, 0 when it needs not wait in it."""
    waiting_for: Cause | None = None
    """For what it waited when it was asked: `place`, one of the user's; `turn`, a free worker; `worker`, any
    worker at all: it is kept until there is one. What it waits for by now: `GET runs/{run_id}`."""


class RunQueued(RunEventFrame):
    """The run waits for a worker; always the first event."""

    type: Literal["run_queued"]
    data: QueuedData
    """What was asked."""


class StartedData(Frame):
    """Who works."""

    agents: list[str]
    """The agents at hand."""


class AgentStarted(RunEventFrame):
    """The agents begin; once in a run."""

    type: Literal["agent_started"]
    data: StartedData
    """Who works."""


class ThinkingData(Frame):
    """A step of reasoning."""

    step: Annotated[int, Field(ge=0)]
    """Which step."""
    text: str
    """What the agent does and why, in a sentence."""


class AgentThinking(RunEventFrame):
    """An agent says what it does next."""

    type: Literal["agent_thinking"]
    data: ThinkingData
    """The step."""


class ToolExecutingData(Frame):
    """A tool call that begins."""

    call_id: str
    """Joins it to its `tool_completed`."""
    tool_name: str
    """The tool."""
    params: dict[str, Any]
    """What it is called with; secrets are `[redacted]`, long values cut."""
    is_cut: Literal[True] | None = None
    """Whether `params` are cut; left out when not. All: `GET runs/{run_id}/calls/{call_id}`."""


class ToolExecuting(RunEventFrame):
    """A tool starts."""

    type: Literal["tool_executing"]
    data: ToolExecutingData
    """The call."""


class ToolProblem(Frame):
    """Why a tool gave no result."""

    code: str
    """Stable name of the reason."""
    message: str
    """The reason in a sentence."""


class ToolCompletedData(Frame):
    """A tool call that ended."""

    call_id: str
    """The same as in `tool_executing`."""
    tool_name: str
    """The tool."""
    ok: bool
    """Whether it gave a result."""
    result: Any = None
    """The result, when `ok`; secrets are `[redacted]`, long values cut and say how much is missing."""
    error: ToolProblem | None = None
    """Why there is none, when not `ok`."""
    duration_ms: Annotated[float, Field(ge=0)]
    """How long it took, in milliseconds."""
    is_cut: Literal[True] | None = None
    """Whether `result` or `error` is cut; left out when not. All: `GET runs/{run_id}/calls/{call_id}`."""


class ToolCompleted(RunEventFrame):
    """A tool has ended."""

    type: Literal["tool_completed"]
    data: ToolCompletedData
    """The outcome."""


class HandoffData(Frame):
    """One agent asks another."""

    from_agent: str
    """Who asks."""
    to_agent: str
    """Who is asked."""
    operation: str
    """For what."""
    depth: Annotated[int, Field(ge=0)]
    """Generation of the asked agent's context."""
    reason: str
    """Why, in a sentence."""


class AgentHandoff(RunEventFrame):
    """Work passes from one agent to another."""

    type: Literal["agent_handoff"]
    data: HandoffData
    """Who to whom, and why."""


class HandoffCompletedData(Frame):
    """A part of the work that is done."""

    from_agent: str
    """Who asked."""
    to_agent: str
    """Who was asked."""
    operation: str
    """For what."""
    duration_ms: Annotated[float, Field(ge=0)]
    """How long it took, in milliseconds."""


class HandoffCompleted(RunEventFrame):
    """The agent that was asked has done its part."""

    type: Literal["handoff_completed"]
    data: HandoffCompletedData
    """Who has finished."""


class ResumedData(Frame):
    """Another worker goes on with a run, after the last step that was finished."""

    attempt: Annotated[int, Field(ge=1)]
    """How often a worker has taken the run."""


class RunResumed(RunEventFrame):
    """Another worker goes on with the run."""

    type: Literal["run_resumed"]
    data: ResumedData
    """The attempt."""


class UsageData(Frame):
    """What a run used."""

    input_tokens: Annotated[int, Field(ge=0)]
    """Tokens sent to models."""
    output_tokens: Annotated[int, Field(ge=0)]
    """Tokens that models wrote."""
    cost_usd: Decimal
    """List price in USD (decimal string)."""


class CompletedData(Frame):
    """The answer."""

    message_id: UUID
    """The message that holds it."""
    final_response: str
    """The answer in Markdown."""
    final_response_html: str
    """The same as safe HTML."""
    recommendations: list[Recommendation]
    """What to do, the most worthwhile first."""
    usage: UsageData
    """What the run used."""
    duration_ms: Annotated[float, Field(ge=0)]
    """From the start of the work to the answer, in milliseconds."""


class AgentCompleted(RunEventFrame):
    """The run has ended with an answer; terminal."""

    type: Literal["agent_completed"]
    data: CompletedData
    """The answer."""


class FailedData(Frame):
    """Why there is no answer."""

    code: str
    """Stable name of the reason."""
    message: str
    """The reason in a sentence."""
    retryable: bool
    """Whether asking again may help."""


class RunFailed(RunEventFrame):
    """The run has ended without an answer; terminal."""

    type: Literal["run_failed"]
    data: FailedData
    """The reason."""


class CancelledData(Frame):
    """Who stopped the run."""

    by: str
    """`user`, or what else stopped it."""


class RunCancelled(RunEventFrame):
    """The run was stopped; terminal."""

    type: Literal["run_cancelled"]
    data: CancelledData
    """By whom."""


AnyRunEvent = (
    RunQueued
    | AgentStarted
    | AgentThinking
    | ToolExecuting
    | ToolCompleted
    | AgentHandoff
    | HandoffCompleted
    | RunResumed
    | AgentCompleted
    | RunFailed
    | RunCancelled
)
TERMINAL_TYPES = frozenset(("agent_completed", "run_failed", "run_cancelled"))
