"""The frames that clients send."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from contexts.exceptions import InvalidRequestError
from realtime.protocol.base import MAX_TEXT_LENGTH, Frame, FrameId


def _without_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain the character U+0000")
    return text


Word = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_without_nul)]


class ClientFrame(Frame):
    """A frame of a client; answered with `ack`, `pong` or `error` bearing its `id`."""

    id: FrameId
    """Chosen by the client."""


class SendMessage(ClientFrame):
    """Ask the agents; answered with `ack {run_id, thread_id}`, then the run's events follow."""

    type: Literal["send_message"]
    thread_id: UUID | None = None
    """The thread to ask in; null begins a new one."""
    text: Annotated[str, Field(min_length=1, max_length=MAX_TEXT_LENGTH), AfterValidator(_without_nul)]
    """The question, 1 to 10,000 characters."""
    dataset_ids: Annotated[list[UUID], Field(max_length=100)] = Field(default_factory=list)
    """Datasets that the question is about."""
    agent: Word | None = None
    """The agent to start with; triage decides when absent."""
    idempotency_key: Word | None = None
    """Sending the same key again answers with the same run."""


class CancelRun(ClientFrame):
    """Stop a run."""

    type: Literal["cancel_run"]
    run_id: UUID
    """The run."""


class Subscribe(ClientFrame):
    """Watch a thread: its runs' events are sent from now on."""

    type: Literal["subscribe"]
    thread_id: UUID
    """The thread."""


class Unsubscribe(ClientFrame):
    """Stop watching a thread."""

    type: Literal["unsubscribe"]
    thread_id: UUID
    """The thread."""


class Resume(ClientFrame):
    """Get what this socket was not sent of each run's events after the cursor, then live ones, none twice."""

    type: Literal["resume"]
    cursors: Annotated[dict[UUID, Annotated[int, Field(ge=0)]], Field(max_length=100)]
    """For each run the number (`seq`) of the last event received, 0 for none."""


class RefreshToken(ClientFrame):
    """Stay signed in: answered with `ack {expires_at}`; another user's token closes with 4403."""

    type: Literal["refresh_token"]
    access: Annotated[str, Field(min_length=1, max_length=8_192)]
    """A fresh access token of the same user."""


class Ping(ClientFrame):
    """Ask for a `pong`."""

    type: Literal["ping"]


AnyClientFrame = Annotated[
    SendMessage | CancelRun | Subscribe | Unsubscribe | Resume | RefreshToken | Ping,
    Field(discriminator="type"),
]
CLIENT_FRAMES: TypeAdapter[AnyClientFrame] = TypeAdapter(AnyClientFrame)
CLIENT_TYPES = frozenset(
    ("send_message", "cancel_run", "subscribe", "unsubscribe", "resume", "refresh_token", "ping")
)


def parse_client_frame(data: dict[str, Any]) -> AnyClientFrame:
    """Return the frame that a JSON object describes.

    Raises:
        InvalidRequestError: naming each field that is wrong, and why; never its value.
    """
    try:
        return CLIENT_FRAMES.validate_python(data)
    except ValidationError as error:
        kind = data.get("type")
        problems = "; ".join(
            f"{'.'.join(str(part) for part in item['loc'] if part != kind) or 'frame'}: {item['msg']}"
            for item in error.errors(include_url=False, include_input=False)[:5]
        )
        raise InvalidRequestError(f"The frame cannot be used. {problems}.") from None
