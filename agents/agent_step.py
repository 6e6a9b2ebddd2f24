"""One agent's turn: its model is run to the end, its thoughts and its text passed on as they come."""

from typing import Any

from pydantic_ai import (
    AgentRunResultEvent,
    PartDeltaEvent,
    PartEndEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ThinkingPart,
)
from pydantic_ai.exceptions import AgentRunError, ModelHTTPError, UserError
from pydantic_ai.usage import UsageLimits

from agents.delta_stream import DeltaStream
from agents.disclosure import disclose_thought
from agents.event_log import EventLog
from agents.registry import ContextAgent
from agents.state import DeepAgentState
from contexts.exceptions import RunFailedError, UnavailableError

MAX_MODEL_REQUESTS = 12


class AgentStep:
    """Runs one agent on the run's state and returns what it came to."""

    def __init__(
        self,
        member: ContextAgent,
        log: EventLog,
        *,
        notices: list[str],
        streams_text: bool = True,
    ) -> None:
        """Run `member`; `notices` are told among its thoughts.

        With `streams_text` a text that it returns is the answer, and passed on as it is written.
        """
        self._member = member
        self._log = log
        self._notices = notices
        self._streams_text = streams_text and member.specification.output_type is str
        self._answer = DeltaStream(log)

    async def think(self, text: str) -> None:
        """Tell the user what the agent is about to do."""
        self._log.check(text)  # all of it, for what is cut may leave half of an identifier
        await self._log.append_thought(disclose_thought(text), agent_name=self._member.specification.name)

    async def run(self, state: DeepAgentState) -> Any:
        """Return the agent's typed output.

        Raises:
            QuotaExceededError: when the user's tokens or money do not suffice for another call of its model.
            UnavailableError: when its model does not answer.
            RunFailedError: when its model answers with nothing usable.
            ContextIsolationError, QuarantinedError: when it says or does what reaches another user.
        """
        prompt = state.model_dump_json(exclude_none=True)
        limits = UsageLimits(request_limit=MAX_MODEL_REQUESTS)
        output: Any = None
        try:
            async with self._member.agent.run_stream_events(
                prompt,
                model=self._member.model,
                toolsets=[self._member.tools],
                deps=self._member.context,
                usage_limits=limits,
            ) as events:
                async for event in events:
                    if isinstance(event, AgentRunResultEvent):
                        output = event.result.output
                    else:
                        await self._observe(event)
                    while self._notices:
                        await self.think(self._notices.pop(0))
        except ModelHTTPError as error:
            raise UnavailableError(f"The model answered with HTTP status {error.status_code}.") from error
        except UserError as error:
            raise UnavailableError("The model cannot be used as it is configured.") from error
        except AgentRunError as error:
            raise RunFailedError(
                f"The {self._member.specification.name} agent got no usable answer from its model.",
                code="model_failed",
                retryable=True,
            ) from error
        if self._streams_text and isinstance(output, str):
            self._answer.finish(output)
        return output

    async def _observe(self, event: Any) -> None:
        match event:
            case PartEndEvent(part=ThinkingPart(content=content)) if content.strip():
                await self.think(content.strip())
            case PartEndEvent(part=TextPart(content=content), next_part_kind="tool-call") if content.strip():
                # What was streamed as the answer was only a thought before a tool call.
                await self.think(content.strip())
                self._answer.restart()
            case PartStartEvent(part=TextPart(content=content)) if self._streams_text:
                self._answer.grow(content)
            case PartDeltaEvent(delta=TextPartDelta(content_delta=content)) if self._streams_text:
                self._answer.grow(content)
