"""Signing in and out over REST: tokens for programs, tickets for sockets."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from django.contrib.auth import logout
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import permissions, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework_simplejwt.tokens import AccessToken

from contexts.api.authentication import sign_in_of
from contexts.api.base import BoundedView, ContextView
from contexts.api.parsing import RequestSerializer, TextField
from contexts.exceptions import NotAuthenticatedError
from contexts.models import User
from contexts.sign_in import sign_in
from contexts.signals import signed_out
from contexts.tickets import TICKET_LIFETIME, issue_ticket
from contexts.tokens import end_sign_in, revoke_tokens, rotate_tokens, sign_in_of_token


class CredentialsSerializer(RequestSerializer):
    """A username (or e-mail address) and its password."""

    username = TextField(max_length=254)
    password = TextField(max_length=4_096, trim_whitespace=False)


class RefreshSerializer(RequestSerializer):
    """A refresh token."""

    refresh = TextField(max_length=4_096)


class LogoutSerializer(RequestSerializer):
    """A refresh token whose sign-in is to end, too, and whether open runs are to be cancelled."""

    refresh = TextField(max_length=4_096, required=False)
    cancel_runs = serializers.BooleanField(default=False)


class TokenPairSerializer(serializers.Serializer[Any]):
    """The tokens of a sign-in."""

    access = serializers.CharField()
    refresh = serializers.CharField()


class TokenView(BoundedView):
    """`POST auth/token`."""

    authentication_classes = ()
    permission_classes = (permissions.AllowAny,)

    @extend_schema(operation_id="sign_in", request=CredentialsSerializer, responses=TokenPairSerializer)
    def post(self, request: Request) -> Response:
        """Exchange a username and password for an access (15 min) and a refresh token (7 days)."""
        credentials = self.read(CredentialsSerializer)
        return Response(asdict(sign_in(request._request, **credentials, now=datetime.now(UTC))))


class RefreshView(BoundedView):
    """`POST auth/token/refresh`."""

    authentication_classes = ()
    permission_classes = (permissions.AllowAny,)

    @extend_schema(operation_id="refresh_tokens", request=RefreshSerializer, responses=TokenPairSerializer)
    def post(self, request: Request) -> Response:
        """Exchange a refresh token, once, for the next pair; using it again ends the sign-in."""
        return Response(asdict(rotate_tokens(self.read(RefreshSerializer)["refresh"])))


class LogoutView(BoundedView):
    """`POST auth/logout`."""

    permission_classes = (permissions.AllowAny,)

    @extend_schema(operation_id="sign_out", request=LogoutSerializer, responses={204: None})
    def post(self, request: Request) -> Response:
        """End the request's own sign-in and the refresh token's: their tokens, session and open sockets.

        With `cancel_runs` the open runs of whoever signs out are cancelled, too.
        """
        asked = self.read(LogoutSerializer)
        refresh = asked.get("refresh")
        if refresh is None and request.user is None:
            raise NotAuthenticatedError("Nobody is signed in, and no refresh token was given.")
        users = {revoke_tokens(refresh)} if refresh is not None else set()
        if isinstance(request.user, User):
            users.add(request.user.id)
        if isinstance(request.auth, AccessToken):
            end_sign_in(sign_in_of_token(request.auth).proof)
        logout(request._request)
        for user_id in users:
            signed_out.send(sender=LogoutView, user_id=user_id, cancel_runs=asked["cancel_runs"])
        return Response(status=status.HTTP_204_NO_CONTENT)


class TicketView(ContextView):
    """`POST auth/ticket`."""

    @extend_schema(
        operation_id="issue_ticket",
        request=None,
        responses=inline_serializer(
            "Ticket", {"ticket": serializers.CharField(), "expires_in": serializers.IntegerField()}
        ),
    )
    def post(self, request: Request) -> Response:
        """Issue a ticket that opens one socket within 60 s."""
        ticket = issue_ticket(self.context, sign_in_of(request), now=datetime.now(UTC))
        return Response({"ticket": ticket, "expires_in": int(TICKET_LIFETIME.total_seconds())})
