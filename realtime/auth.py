"""Signing sockets in: by token, by ticket, or by the session cookie of an allowed origin."""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

from django.conf import settings
from django.http import parse_cookie

from contexts.batching import Batcher
from contexts.exceptions import NetraError, NotAuthenticatedError
from contexts.sign_ins import SignIn, sign_ins_of_sessions, valid_sign_ins
from contexts.tickets import redeem_tickets
from contexts.tokens import read_access_token
from realtime.origins import is_allowed_origin
from realtime.protocol import PROTOCOL
from realtime.unavailable import DATABASE_ERRORS, report_unavailable

__all__ = [
    "Credentials",
    "SignIn",
    "SocketSignIn",
    "read_credentials",
    "sign_in_all",
    "sign_in_by_token",
    "sign_in_socket",
]

Scope = MutableMapping[str, Any]
Application = Callable[[Scope, Any, Any], Awaitable[None]]

BEARER = "bearer."
AT_ONCE = 64
"""Sockets that are signed in by one call of the database."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Credentials:
    """What a socket offers to sign in with, as far as it can be known without the database."""

    subprotocol: str | None
    token: SignIn | None = None
    """What its access token says, which was verified."""
    ticket: str | None = None
    session_key: str | None = None
    error: NetraError | None = None
    """Why it can sign in with nothing that it offers."""
    forbidden: bool = False
    """It comes from another site's page with a cookie of ours."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SocketSignIn:
    """What became of a socket's sign-in: somebody, or an error; `forbidden` ends the handshake."""

    signed_in: SignIn | None = None
    error: NetraError | None = None
    forbidden: bool = False
    subprotocol: str | None = None


async def sign_in_socket(scope: Scope) -> SocketSignIn:
    """Sign in with the first that is present: bearer subprotocol, `?ticket=`, session cookie."""
    credentials = read_credentials(scope)
    subprotocol = credentials.subprotocol
    if credentials.forbidden:
        return SocketSignIn(forbidden=True)
    if credentials.error is not None:
        return SocketSignIn(error=credentials.error, subprotocol=subprotocol)
    try:
        outcome = await _sign_in_in_batches(credentials)
    except DATABASE_ERRORS as error:
        outcome = report_unavailable(error)
    except NetraError as error:
        outcome = error
    if isinstance(outcome, NetraError):
        return SocketSignIn(error=outcome, subprotocol=subprotocol)
    return SocketSignIn(signed_in=outcome, subprotocol=subprotocol)


def read_credentials(scope: Scope) -> Credentials:
    """Return the first that is present: bearer subprotocol, `?ticket=`, session cookie; no database."""
    offered = scope.get("subprotocols", [])
    subprotocol = PROTOCOL if PROTOCOL in offered else None
    token = next((item.removeprefix(BEARER) for item in offered if item.startswith(BEARER)), None)
    if token is not None:
        try:
            return Credentials(subprotocol=subprotocol, token=read_access_token(token))
        except NotAuthenticatedError as error:
            return Credentials(subprotocol=subprotocol, error=error)
    query = parse_qs(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
    if "ticket" in query:
        return Credentials(subprotocol=subprotocol, ticket=query["ticket"][0])
    session_key = _cookies(scope).get(settings.SESSION_COOKIE_NAME)
    if session_key is None:
        return Credentials(subprotocol=subprotocol, error=NotAuthenticatedError("Sign in first."))
    if not is_allowed_origin(scope):
        return Credentials(subprotocol=subprotocol, forbidden=True)
    return Credentials(subprotocol=subprotocol, session_key=session_key)


def sign_in_all(offered: Sequence[Credentials], *, now: datetime) -> list[SignIn | NetraError]:
    """Return for each of many sockets who signs in with what it offers, or why nobody does; synchronous.

    One statement for all their tokens, one more if there are sessions, and one more if there are tickets;
    of two that offer the same ticket only the first is signed in.

    Raises:
        UnavailableError, DatabaseError: when the database does not answer.
    """
    keys = {each.session_key for each in offered if each.session_key is not None}
    sessions = sign_ins_of_sessions(keys, now=now)
    tickets = redeem_tickets({each.ticket for each in offered if each.ticket is not None}, now=now)
    claims = [_claim(each, sessions, tickets) for each in offered]
    # Looked up last: what ends before this signs nobody in.
    valid = valid_sign_ins({claim.proof for claim in claims if claim is not None})
    return [
        claim
        if claim is not None and claim.proof in valid and claim.expires_at > now
        else each.error or NotAuthenticatedError("The token, ticket or session is unknown or has ended.")
        for each, claim in zip(offered, claims, strict=True)
    ]


def _sign_in_now(offered: Sequence[Credentials]) -> list[SignIn | NetraError]:
    return sign_in_all(offered, now=datetime.now(UTC))


_sign_in_in_batches: Batcher[Credentials, SignIn | NetraError] = Batcher(_sign_in_now, size=AT_ONCE)


def sign_in_by_token(token: str) -> SignIn:
    """Return who an access token belongs to, and when it expires.

    Raises:
        NotAuthenticatedError: when the token is invalid or expired, its sign-in was ended, its user is
            deactivated, or their password was changed since.
    """
    sign_in = read_access_token(token)
    if sign_in.proof not in valid_sign_ins([sign_in.proof]):
        raise NotAuthenticatedError("The access token's sign-in has ended.")
    return sign_in


def _claim(
    offered: Credentials, sessions: Mapping[str, SignIn], tickets: MutableMapping[str, SignIn]
) -> SignIn | None:
    if offered.ticket is not None:
        return tickets.pop(offered.ticket, None)
    if offered.session_key is not None:
        return sessions.get(offered.session_key)
    return offered.token


def _cookies(scope: Scope) -> dict[str, str]:
    for name, value in scope.get("headers", []):
        if name == b"cookie":
            return parse_cookie(value.decode("latin-1"))
    return {}
