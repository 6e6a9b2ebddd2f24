"""Signing sockets in: by token, by ticket, or by the session cookie of an allowed origin."""

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.http import HttpRequest, parse_cookie
from rest_framework.exceptions import AuthenticationFailed
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.tokens import AccessToken

from contexts.database import call_in_thread
from contexts.exceptions import NetraError, NotAuthenticatedError
from contexts.models import User
from contexts.sign_ins import SignInProof
from contexts.tickets import redeem_ticket
from realtime.origins import is_allowed_origin
from realtime.protocol import PROTOCOL
from realtime.unavailable import DATABASE_ERRORS, report_unavailable

Scope = MutableMapping[str, Any]
Application = Callable[[Scope, Any, Any], Awaitable[None]]

BEARER = "bearer."


@dataclass(frozen=True, kw_only=True, slots=True)
class SignIn:
    """Who opens a socket, and until when they are signed in."""

    user_id: UUID
    expires_at: datetime
    """When the token or session ends (UTC)."""
    proof: SignInProof | None = None
    """What it rests on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SocketSignIn:
    """What became of a socket's sign-in: somebody, or an error; `forbidden` ends the handshake."""

    signed_in: SignIn | None = None
    error: NetraError | None = None
    forbidden: bool = False
    subprotocol: str | None = None


class SignInMiddleware:
    """Signs a socket in before the consumer sees it: `scope["sign_in"]` is a `SocketSignIn`."""

    def __init__(self, application: Application) -> None:
        """Pass signed-in scopes on to `application`."""
        self._application = application

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Sign in, and hand on whatever came of it."""
        sign_in = await sign_in_socket(scope, now=datetime.now(UTC))
        # Servers log the address of each socket; a ticket, or a token put there by mistake, is a secret.
        scope["query_string"] = b""
        await self._application(dict(scope, sign_in=sign_in), receive, send)


async def sign_in_socket(scope: Scope, *, now: datetime) -> SocketSignIn:
    """Sign in with the first that is present: bearer subprotocol, `?ticket=`, session cookie."""
    offered = scope.get("subprotocols", [])
    subprotocol = PROTOCOL if PROTOCOL in offered else None
    token = next((item.removeprefix(BEARER) for item in offered if item.startswith(BEARER)), None)
    query = parse_qs(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
    session_key = _cookies(scope).get(settings.SESSION_COOKIE_NAME)
    try:
        if token is not None:
            signed_in = await call_in_thread(sign_in_by_token, token)
        elif "ticket" in query:
            signed_in = await call_in_thread(_sign_in_by_ticket, query["ticket"][0], now)
        elif session_key is not None:
            if not is_allowed_origin(scope):
                return SocketSignIn(forbidden=True)
            signed_in = await call_in_thread(_sign_in_by_session, session_key, now)
        else:
            raise NotAuthenticatedError("Sign in first.")
    except DATABASE_ERRORS as error:
        return SocketSignIn(error=report_unavailable(error), subprotocol=subprotocol)
    except NetraError as error:
        return SocketSignIn(error=error, subprotocol=subprotocol)
    return SocketSignIn(signed_in=signed_in, subprotocol=subprotocol)


def sign_in_by_token(token: str) -> SignIn:
    """Return who an access token belongs to, and when it expires.

    Raises:
        NotAuthenticatedError: when the token is invalid or expired, its user is deactivated, or
            their password was changed since.
    """
    try:
        access = AccessToken(token)  # type: ignore[arg-type]  # the library types it as a token
        user = JWTAuthentication().get_user(access)
    except (TokenError, AuthenticationFailed) as error:
        raise NotAuthenticatedError("The access token is invalid, expired or revoked.") from error
    return SignIn(user_id=user.pk, expires_at=datetime.fromtimestamp(access["exp"], UTC))


def _sign_in_by_ticket(ticket: str, now: datetime) -> SignIn:
    user_id = redeem_ticket(ticket, now)
    return SignIn(user_id=user_id, expires_at=now + AccessToken.lifetime)


def _sign_in_by_session(session_key: str, now: datetime) -> SignIn:
    session = None
    if session_key.isalnum():
        session = Session.objects.filter(session_key=session_key, expire_date__gt=now).first()
    if session is None:
        raise NotAuthenticatedError("The session has ended.")
    request = HttpRequest()
    request.session = SessionStore(session_key)
    user = get_user(request)
    if not isinstance(user, User):
        raise NotAuthenticatedError("The session has ended.")
    return SignIn(user_id=user.id, expires_at=session.expire_date)


def _cookies(scope: Scope) -> dict[str, str]:
    for name, value in scope.get("headers", []):
        if name == b"cookie":
            return parse_cookie(value.decode("latin-1"))
    return {}
