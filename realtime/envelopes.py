"""What passes through the channel layer: encoded frames, labelled with whose they are."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

from pydantic_core import to_json

from agents.events import TERMINAL_TYPES, Delta, Event
from contexts.exceptions import ContextIsolationError
from realtime.protocol import AccountFrame, encode_frame

MESSAGE_TYPE = "user.frames"


@dataclass(frozen=True, kw_only=True, slots=True)
class Envelope:
    """One server frame, encoded once for all sockets of its user."""

    user_id: UUID
    """The only user whose sockets may send it."""
    type: str
    """The frame's type."""
    text: str
    """The frame as JSON text."""
    run_id: UUID | None = None
    """The run it is about; none for account frames."""
    thread_id: UUID | None = None
    """The run's thread."""
    seq: int | None = None
    """The event's number; none for what is not numbered."""

    @property
    def is_terminal(self) -> bool:
        """Tell whether it ends its run."""
        return self.type in TERMINAL_TYPES

    @classmethod
    def of_event(cls, event: Event) -> Self:
        """Enclose a run's event."""
        return cls(
            user_id=event.user_id,
            type=event.type,
            text=to_json(event.frame()).decode(),
            run_id=event.run_id,
            thread_id=event.thread_id,
            seq=event.seq,
        )

    @classmethod
    def of_delta(cls, delta: Delta) -> Self:
        """Enclose a piece of an answer."""
        return cls(
            user_id=delta.user_id,
            type="message_delta",
            text=to_json(delta.frame()).decode(),
            run_id=delta.run_id,
            thread_id=delta.thread_id,
        )

    @classmethod
    def of_account(cls, frame: AccountFrame) -> Self:
        """Enclose a frame for all the user's sockets."""
        data = frame.model_dump(mode="json")
        return cls(user_id=frame.user_id, type=data["type"], text=encode_frame(frame))


def pack_envelopes(user_id: UUID, envelopes: Iterable[Envelope]) -> dict[str, Any]:
    """Return the channel layer's message that carries `envelopes`, all of one user.

    Raises:
        ContextIsolationError: when one is another user's.
    """
    rows = []
    for envelope in envelopes:
        _check_owner(envelope.user_id, user_id)
        run_id = str(envelope.run_id) if envelope.run_id else None
        thread_id = str(envelope.thread_id) if envelope.thread_id else None
        rows.append([envelope.type, envelope.text, run_id, thread_id, envelope.seq])
    return {"type": MESSAGE_TYPE, "user_id": str(user_id), "frames": rows}


def unpack_envelopes(message: Mapping[str, Any], *, user_id: UUID) -> list[Envelope]:
    """Return the envelopes of a message that reached the sockets of `user_id`.

    Raises:
        ContextIsolationError: when the message is another user's.
    """
    owner = UUID(message["user_id"])
    _check_owner(owner, user_id)
    return [
        Envelope(
            user_id=owner,
            type=kind,
            text=text,
            run_id=UUID(run_id) if run_id else None,
            thread_id=UUID(thread_id) if thread_id else None,
            seq=seq,
        )
        for kind, text, run_id, thread_id, seq in message["frames"]
    ]


def _check_owner(owner: UUID, user_id: UUID) -> None:
    if owner != user_id:
        raise ContextIsolationError("A frame was about to reach another user.")
