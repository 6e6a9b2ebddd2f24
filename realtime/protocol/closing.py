"""The codes with which the server closes sockets."""

from enum import IntEnum

from contexts.exceptions import NetraError


class CloseCode(IntEnum):
    """Why the server closed a socket (RFC 6455; 4000–4999 are the application's own)."""

    INTERNAL_ERROR = 1011
    SERVER_RESTART = 1012
    PROTOCOL_ERROR = 4400
    NOT_SIGNED_IN = 4401
    NOT_ALLOWED = 4403
    TOO_SLOW = 4408
    TOO_MANY_CONNECTIONS = 4429


MEANINGS = {
    CloseCode.INTERNAL_ERROR: "Something went wrong on the server; connect again.",
    CloseCode.SERVER_RESTART: "The server restarts; connect again and resume.",
    CloseCode.PROTOCOL_ERROR: "Protocol error: bad JSON, binary, over 64 KiB, 10 unknown types, or too many.",
    CloseCode.NOT_SIGNED_IN: "Not, or no longer, signed in.",
    CloseCode.NOT_ALLOWED: "Not allowed, or quarantined.",
    CloseCode.TOO_SLOW: "Too slow; connect again and resume with the cursors.",
    CloseCode.TOO_MANY_CONNECTIONS: "Too many connections for the tier.",
}

REASONS = {
    "invalid_request": "The frame, or something in it, cannot be used; the message says which field and why.",
    "not_authenticated": "The sign-in or the given token has ended.",
    "permission_denied": "The user's role does not allow it.",
    "not_found": "There is no such thing, or it is someone else's.",
    "conflict": "It cannot be done now, as for a run that has ended.",
    "quota_exceeded": "A limit is used up; `resource`, `limit` and `resets_at` say which.",
    "rate_limited": "Too many messages a minute, or frames a second.",
    "quarantined": "Stopped to keep users' data apart.",
    "unavailable": "A part of the server does not answer now; try again.",
    "internal": "Something went wrong on the server; the message names the incident.",
    "timeout": "Of a run: it took longer than the tier allows.",
    "model_failed": "Of a run: the model's provider failed.",
    "worker_lost": "Of a run or a tool call: its worker was lost.",
}
"""Why a frame was refused or a run failed: stable names."""

_CODE_OF_ERROR = {
    "not_authenticated": CloseCode.NOT_SIGNED_IN,
    "permission_denied": CloseCode.NOT_ALLOWED,
    "context_isolation": CloseCode.NOT_ALLOWED,
    "quarantined": CloseCode.NOT_ALLOWED,
    "quota_exceeded": CloseCode.TOO_MANY_CONNECTIONS,
    "rate_limited": CloseCode.TOO_MANY_CONNECTIONS,
    "unavailable": CloseCode.SERVER_RESTART,
}


def close_code_of(error: NetraError) -> CloseCode:
    """Return the code with which a socket closes that cannot be opened, or kept, for `error`."""
    return _CODE_OF_ERROR.get(error.code, CloseCode.INTERNAL_ERROR)
