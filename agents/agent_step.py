"""One agent's turn: its model is run to the end, its thoughts and its text passed on as they come."""

import time
from decimal import Decimal
from typing import Any

from pydantic_ai import (
    AgentRunResultEvent,
    ModelResponse,
    PartDeltaEvent,
    PartEndEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ThinkingPart,
)
from pydantic_ai.exceptions import AgentRunError, ModelHTTPError, UserError
from pydantic_ai.usage import UsageLimits

from agents.event_log import EventLog
from agents.outcomes import Usage
from agents.registry import ContextAgent
from agents.state import DeepAgentState
from contexts.exceptions import RunFailedError, UnavailableError

DELTA_INTERVAL_SECONDS = 0.03
MAX_MODEL_REQUESTS = 12
MAX_THOUGHT_LENGTH = 500


class AgentStep:
    """Runs one agent on the run's state and keeps what it returned and used."""

    def __init__(self, member: ContextAgent, log: EventLog, *, first_step: int) -> None:
        """Run `member`; its thoughts are numbered from `first_step`."""
        self._member = member
        self._log = log
        self._step = first_step
        self._streams_text = member.specification.output_type is str
        self._text = ""
        self._sent = 0
        self._sent_at = 0.0
        self.usage = Usage()

    @property
    def next_step(self) -> int:
        """Return the number of the next thought."""
        return self._step

    async def think(self, text: str) -> None:
        """Tell the user what the agent is about to do."""
        data = {"step": self._step, "text": text[:MAX_THOUGHT_LENGTH]}
        self._step += 1
        await self._log.append("agent_thinking", agent_name=self._member.specification.name, data=data)

    async def run(self, state: DeepAgentState) -> Any:
        """Return the agent's typed output.

        Raises:
            UnavailableError: when its model does not answer.
            RunFailedError: when its model answers with nothing usable.
        """
        prompt = state.model_dump_json(exclude_none=True)
        limits = UsageLimits(request_limit=MAX_MODEL_REQUESTS)
        output: Any = None
        try:
            async with self._member.agent.run_stream_events(
                prompt, deps=self._member.context, usage_limits=limits
            ) as events:
                async for event in events:
                    if isinstance(event, AgentRunResultEvent):
                        output = event.result.output
                        self._measure(event.result.new_messages())
                    else:
                        await self._observe(event)
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
            self._text = output
            self._send(final=True)
        return output

    async def _observe(self, event: Any) -> None:
        match event:
            case PartEndEvent(part=ThinkingPart(content=content)) if content.strip():
                await self.think(content.strip())
            case PartEndEvent(part=TextPart(content=content), next_part_kind="tool-call") if content.strip():
                # What was streamed as the answer was only a thought before a tool call.
                await self.think(content.strip())
                self._text, self._sent = "", 0
            case PartStartEvent(part=TextPart(content=content)) if self._streams_text:
                self._text += content
                self._send()
            case PartDeltaEvent(delta=TextPartDelta(content_delta=content)) if self._streams_text:
                self._text += content
                self._send()

    def _send(self, *, final: bool = False) -> None:
        now = time.monotonic()
        if len(self._text) > self._sent and (final or now - self._sent_at >= DELTA_INTERVAL_SECONDS):
            self._log.send_delta(offset=self._sent, text=self._text[self._sent :])
            self._sent, self._sent_at = len(self._text), now

    def _measure(self, messages: list[Any]) -> None:
        if not self._member.is_metered:
            return
        for message in messages:
            if isinstance(message, ModelResponse):
                self.usage += Usage(
                    input_tokens=message.usage.input_tokens,
                    output_tokens=message.usage.output_tokens,
                    cost_usd=_price(message),
                )


def _price(response: ModelResponse) -> Decimal:
    try:
        return Decimal(response.cost().total_price)
    except LookupError:
        return Decimal(0)
