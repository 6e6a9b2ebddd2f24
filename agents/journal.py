"""The journal of a run: every finished step, kept as it is done, so that no attempt does it again.

A later attempt goes through the run from its beginning. What a model had answered and what a tool had come
to is taken from here instead of being asked for again; the first step that is not here is where the work
goes on.
Steps are Pydantic AI messages (`ModelResponse`) and outcomes of tools, as JSON.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from pydantic_ai.messages import ModelMessagesTypeAdapter, ModelResponse
from pydantic_core import PydanticSerializationError, from_json, to_json

from agents.event_drafts import Step
from agents.event_log import EventLog
from agents.storable import storable
from agents.told import Told, ToldEvent
from agents.tool_calls import CALL_ID
from agents.usage import Usage

# A number may be added to it.
_LONGEST_CALL_ID = 120


class RunHandedBackError(Exception):
    """The run goes back to the queue between two steps: its process is stopping."""


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    """What a call of a tool came to: a result, or an error that its agent is told of."""

    result: dict[str, Any] | None = None
    code: str = ""
    message: str = ""


class Journal:
    """The steps of one run, as one attempt at it finds and adds them. Belongs to one event loop."""

    def __init__(self, log: EventLog, recorded: Mapping[str, str] | None = None) -> None:
        """Add to what `recorded` has of earlier attempts: contents by the steps' names."""
        self._log = log
        self._recorded = dict(recorded or {})
        self._is_handed_back = False
        self.has_refused = False
        """Whether a step was not begun for that."""

    @property
    def is_handed_back(self) -> bool:
        """Tell whether the run goes to another attempt, so that nothing is told to have ended."""
        return self._is_handed_back

    def hand_back(self) -> None:
        """Begin no further step."""
        self._is_handed_back = True

    def begin_step(self) -> None:
        """Begin a step that is not recorded.

        Raises:
            RunHandedBackError: when no further one is to be begun here.
        """
        if self._is_handed_back:
            self.has_refused = True
            raise RunHandedBackError

    def turn(self, name: str) -> "Turn":
        """Return the model's part of one agent's turn; `name` is its own within the run."""
        return Turn(self, name)

    def outcome(self, call_id: str) -> ToolOutcome | None:
        """Return what a call came to in an earlier attempt, none when it has to be made."""
        content = self._recorded.pop(_name_of_call(call_id), None)
        return None if content is None else ToolOutcome(**from_json(content))

    @staticmethod
    def step_of_call(call_id: str, outcome: ToolOutcome) -> Step:
        """Return the step that a call was, for the event that tells of its end."""
        value = {"result": outcome.result, "code": outcome.code, "message": outcome.message}
        return Step(_name_of_call(call_id), _to_json(value))

    def take(self, name: str) -> str | None:
        """Return what is recorded of a step, once."""
        return self._recorded.pop(name, None)

    async def save(self, name: str, content: str) -> None:
        """Record a step without an event of its own; raises what `EventLog.append` does."""
        await self._log.save(Step(name, content))


class Turn:
    """The responses of one agent's model, in their order."""

    def __init__(self, journal: Journal, name: str) -> None:
        """Use `Journal.turn`."""
        self._journal = journal
        self._name = name
        self._count = 0

    def next_response(self) -> tuple[ModelResponse, Usage] | None:
        """Return the next response and what it cost in an earlier attempt; none when it has to be asked for.

        Raises:
            RunHandedBackError: as `Journal.begin_step`.
        """
        content = self._journal.take(f"{self._name}.model.{self._count}")
        if content is None:
            self._journal.begin_step()
            return None
        self._count += 1
        value = from_json(content)
        (response,) = ModelMessagesTypeAdapter.validate_python(value["messages"])
        assert isinstance(response, ModelResponse)
        return response, Usage.from_json(value["usage"])

    async def save(self, response: ModelResponse, used: Usage) -> None:
        """Record a response before anything is done with it; raises what `Journal.save` does."""
        name = f"{self._name}.model.{self._count}"
        self._count += 1
        await self._journal.save(
            name, f'{{"messages":{_messages(response)},"usage":{_to_json(used.to_json())}}}'
        )


class CallIds:
    """Gives each call of a run an id of its own that an address can carry, the same ones in every attempt."""

    def __init__(self) -> None:
        """Know none yet."""
        self._seen: Counter[str] = Counter()

    def make(self, wanted: str) -> str:
        """Return `wanted` as it can be used; numbered when a call before had it.

        A model's provider may call a call anything, and may repeat itself.
        """
        if len(wanted) > _LONGEST_CALL_ID or CALL_ID.fullmatch(wanted) is None:
            wanted = uuid5(NAMESPACE_OID, storable(wanted)).hex
        self._seen[wanted] += 1
        return wanted if self._seen[wanted] == 1 else f"{wanted}.{self._seen[wanted]}"


@dataclass(frozen=True, slots=True)
class Earlier:
    """What earlier attempts at a run have left."""

    steps: Mapping[str, str]
    events: tuple[ToldEvent, ...]

    def told(self) -> Told:
        """Return what they have told."""
        return Told(self.events)


NOTHING_EARLIER = Earlier({}, ())


def _name_of_call(call_id: str) -> str:
    return f"call.{call_id}"


def _messages(response: ModelResponse) -> str:
    try:
        return ModelMessagesTypeAdapter.dump_json([response]).decode()
    except (PydanticSerializationError, UnicodeError):
        return _to_json(ModelMessagesTypeAdapter.dump_python([response], mode="json"))


def _to_json(value: Any) -> str:
    try:
        return to_json(value).decode()
    except (PydanticSerializationError, UnicodeError):
        return to_json(storable(value)).decode()
