"""The frames that the server sends."""

from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import Field, TypeAdapter

from contexts.api.amounts import amount_json
from contexts.exceptions import LimitError, NetraError
from contexts.reports import QuotaResult
from realtime.protocol.base import PROTOCOL, Frame, FrameId
from realtime.protocol.events import AnyRunEvent

Amount = int | float | str
"""In the resource's unit; money is a decimal string (USD), all else a number, as in REST."""


class ConnectionEstablished(Frame):
    """The socket is signed in and live; always the first frame."""

    type: Literal["connection_established"] = "connection_established"
    connection_id: UUID
    """This socket."""
    user_id: UUID
    """Who is signed in."""
    tenant_id: UUID
    """The organisation they act for."""
    protocol: str = PROTOCOL
    """The protocol spoken."""
    expires_at: datetime
    """When the sign-in ends (UTC) unless it is refreshed."""
    heartbeat_s: int
    """Seconds after which a silent client should send `ping`."""


class Ack(Frame):
    """A client frame was carried out."""

    type: Literal["ack"] = "ack"
    id: FrameId
    """The client frame's id."""
    run_id: UUID | None = None
    """For `send_message`: the run."""
    thread_id: UUID | None = None
    """For `send_message`: the run's thread."""
    expires_at: datetime | None = None
    """For `refresh_token`: when the sign-in now ends (UTC)."""


class ErrorFrame(Frame):
    """A client frame was refused and changed nothing."""

    type: Literal["error"] = "error"
    id: FrameId | None
    """The client frame's id; null when it has none that can be used."""
    code: str
    """Stable name of the reason."""
    message: str
    """The reason in a sentence."""
    resource: str | None = None
    """For a limit: what is limited."""
    limit: Amount | None = None
    """For a limit: how high it is."""
    resets_at: datetime | None = None
    """For a limit: when it is free again (UTC)."""

    @classmethod
    def of(cls, error: NetraError, *, frame_id: FrameId | None) -> "ErrorFrame":
        """Return the frame that tells a client of `error`."""
        frame = cls(id=frame_id, code=error.code, message=error.message)
        if not isinstance(error, LimitError):
            return frame
        limit = amount_json(error.resource, error.limit)
        return frame.model_copy(
            update={"resource": error.resource, "limit": limit, "resets_at": error.resets_at}
        )


class Pong(Frame):
    """The answer to `ping`."""

    type: Literal["pong"] = "pong"
    id: FrameId
    """The ping's id."""


class MessageDelta(Frame):
    """A piece of the answer while it is written: not numbered, not kept."""

    type: Literal["message_delta"]
    run_id: UUID
    """The run."""
    thread_id: UUID
    """The run's thread."""
    offset: Annotated[int, Field(ge=0)]
    """Where in the answer it begins, in characters (Unicode code points)."""
    text: str
    """The piece."""


class AccountFrame(Frame):
    """About the account, not a thread; sent to all the user's sockets."""

    user_id: UUID
    """The user."""


class _Quota(AccountFrame):
    resource: str
    """What is limited."""
    window: str
    """Over which time, or per what, it counts."""
    limit: Amount
    """How much there is."""
    used: Amount
    """How much is gone."""
    reserved: Amount
    """How much work under way has set aside."""
    remaining: Amount
    """What may still be used."""
    soft_limit: Amount
    """From here on a warning is shown."""
    resets_at: datetime | None
    """When the window ends (UTC)."""

    @classmethod
    def of(cls, quota: QuotaResult, *, user_id: UUID) -> Self:
        """Return the frame that tells a user where they stand with one resource."""
        names = ("limit", "used", "reserved", "remaining", "soft_limit")
        return cls(
            user_id=user_id,
            resource=quota.resource,
            window=quota.window,
            resets_at=quota.resets_at,
            **{name: amount_json(quota.resource, getattr(quota, name)) for name in names},
        )


class QuotaUpdated(_Quota):
    """Where the user stands with one resource, after it changed."""

    type: Literal["quota_updated"] = "quota_updated"


class QuotaWarning(_Quota):
    """The user has passed the soft limit of a resource."""

    type: Literal["quota_warning"] = "quota_warning"


class SessionExpiring(AccountFrame):
    """The sign-in of this socket ends within 60 s, told once; `refresh_token` keeps it."""

    type: Literal["session_expiring"] = "session_expiring"
    expires_at: datetime
    """When it ends (UTC)."""


class SessionRevoked(AccountFrame):
    """The sign-in was ended; the socket closes with 4401."""

    type: Literal["session_revoked"] = "session_revoked"
    reason: str
    """Why, in a sentence."""


AnyServerFrame = Annotated[
    ConnectionEstablished
    | Ack
    | ErrorFrame
    | Pong
    | AnyRunEvent
    | MessageDelta
    | QuotaUpdated
    | QuotaWarning
    | SessionExpiring
    | SessionRevoked,
    Field(discriminator="type"),
]
SERVER_FRAMES: TypeAdapter[AnyServerFrame] = TypeAdapter(AnyServerFrame)


def encode_frame(frame: Frame) -> str:
    """Return the frame as JSON text; optional fields without a value are left out."""
    left_out = {
        name
        for name, field in type(frame).model_fields.items()
        if not field.is_required() and getattr(frame, name) is None
    }
    return frame.model_dump_json(exclude=left_out)
