"""What is on its way to a user's sockets: encoded frames, labelled with whose they are."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any, NamedTuple, Self
from uuid import UUID

import msgpack
from pydantic_core import to_json

from agents.events import TERMINAL_TYPES, Delta, Event
from contexts.exceptions import ContextIsolationError
from realtime.protocol import AccountFrame, encode_frame

MESSAGE_TYPE = "user.frames"
DELTA = "message_delta"
RESUMED = "run_resumed"

Sealed = tuple[bytes, bytes | None]
"""One user's envelopes as they cross the channel layer, and the attempts that they tell of."""


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
    attempt: int | None = None
    """Of a piece of an answer, the attempt that writes it; of `run_resumed`, the one that begins."""

    @property
    def is_terminal(self) -> bool:
        """Tell whether it ends its run."""
        return self.type in TERMINAL_TYPES

    @classmethod
    def of_event(cls, event: Event) -> Self:
        """Enclose a run's event."""
        text = event.encoded or to_json(event.frame()).decode()
        attempt = event.data.get("attempt") if event.type == RESUMED else None
        return cls(event.user_id, event.type, text, event.run_id, event.thread_id, event.seq, attempt)

    @classmethod
    def of_delta(cls, delta: Delta) -> Self:
        """Enclose a piece of an answer."""
        text = to_json(delta.frame()).decode()
        return cls(delta.user_id, DELTA, text, delta.run_id, delta.thread_id, attempt=delta.attempt)

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
    users, attempts = [], []
    for user_id, own in envelopes.items():
        check_owner(own, user_id)
        rows = [
            (type_, text, _bytes(run_id), _bytes(thread_id), seq)
            for _, type_, text, run_id, thread_id, seq, _ in own
        ]
        users.append((user_id.bytes, msgpack.packb(rows)))
        attempts.append(msgpack.packb([envelope.attempt for envelope in own]))
    # Beside the rows, whose length a process of an earlier version relies on.
    return {"type": MESSAGE_TYPE, "origin": origin, "users": users, "attempts": attempts}


def sealed_envelopes(message: Mapping[str, Any]) -> Iterator[tuple[UUID, Sealed]]:
    """Yield each user of a channel layer's message, with what `unpack_envelopes` opens.

    What a process of an earlier version sent has no attempts.
    """
    attempts: Iterable[bytes | None] = message.get("attempts") or repeat(None)
    for (user, rows), own in zip(message["users"], attempts, strict=False):
        yield UUID(bytes=user), (rows, own)


def unpack_envelopes(user_id: UUID, sealed: Sealed) -> list[Envelope]:
    """Return one user's envelopes from a message."""
    rows, packed = sealed
    attempts: Iterable[int | None] = repeat(None) if packed is None else msgpack.unpackb(packed)
    return [
        Envelope(user_id, type_, text, _uuid(run_id), _uuid(thread_id), seq, attempt)
        for (type_, text, run_id, thread_id, seq), attempt in zip(
            msgpack.unpackb(rows), attempts, strict=False
        )
    ]


def _bytes(identifier: UUID | None) -> bytes | None:
    return identifier.bytes if identifier else None


def _uuid(value: bytes | None) -> UUID | None:
    return UUID(bytes=value) if value else None
