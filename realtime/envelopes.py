"""What is on its way to a user's sockets: encoded frames, labelled with whose they are."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Self
from uuid import UUID

import msgpack
from pydantic_core import to_json

from agents.events import TERMINAL_TYPES, Delta, Event
from contexts.exceptions import ContextIsolationError
from realtime.protocol import AccountFrame, encode_frame

MESSAGE_TYPE = "user.frames"
DELTA = "message_delta"


class Envelope(NamedTuple):
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
        text = event.encoded or to_json(event.frame()).decode()
        return cls(event.user_id, event.type, text, event.run_id, event.thread_id, event.seq)

    @classmethod
    def of_delta(cls, delta: Delta) -> Self:
        """Enclose a piece of an answer."""
        return cls(delta.user_id, DELTA, to_json(delta.frame()).decode(), delta.run_id, delta.thread_id)

    @classmethod
    def of_account(cls, frame: AccountFrame) -> Self:
        """Enclose a frame for all the user's sockets."""
        data = frame.model_dump(mode="json")
        return cls(frame.user_id, data["type"], encode_frame(frame))


def check_owner(envelopes: Iterable[Envelope], user_id: UUID) -> None:
    """Refuse envelopes that are not all the user's.

    Raises:
        ContextIsolationError: when one is another user's.
    """
    for envelope in envelopes:
        if envelope.user_id != user_id:
            raise ContextIsolationError("A frame was about to reach another user.")


def pack_envelopes(envelopes: Mapping[UUID, Sequence[Envelope]], *, origin: str) -> dict[str, Any]:
    """Return the channel layer's message that carries many users' envelopes, each user's sealed by itself.

    `origin` names the process that sends it.

    Raises:
        ContextIsolationError: when one is under another user than its own.
    """
    users = []
    for user_id, own in envelopes.items():
        check_owner(own, user_id)
        rows = [
            (type_, text, _bytes(run_id), _bytes(thread_id), seq)
            for _, type_, text, run_id, thread_id, seq in own
        ]
        users.append((user_id.bytes, msgpack.packb(rows)))
    return {"type": MESSAGE_TYPE, "origin": origin, "users": users}


def unpack_envelopes(user_id: UUID, sealed: bytes) -> list[Envelope]:
    """Return one user's envelopes from a message."""
    return [
        Envelope(user_id, type_, text, _uuid(run_id), _uuid(thread_id), seq)
        for type_, text, run_id, thread_id, seq in msgpack.unpackb(sealed)
    ]


def _bytes(identifier: UUID | None) -> bytes | None:
    return identifier.bytes if identifier else None


def _uuid(value: bytes | None) -> UUID | None:
    return UUID(bytes=value) if value else None
