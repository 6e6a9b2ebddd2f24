"""Signing in and out over REST: tokens for programs, tickets for sockets."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from django.contrib.auth import logout
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import permissions, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from contexts.api.base import BoundedView, ContextView
from contexts.api.parsing import RequestSerializer, TextField
from contexts.exceptions import NotAuthenticatedError
from contexts.sign_in import sign_in
from contexts.tickets import TICKET_LIFETIME, issue_ticket
from contexts.tokens import revoke_tokens, rotate_tokens


class CredentialsSerializer(RequestSerializer):
    """A username (or e-mail address) and its password."""

    username = TextField(max_length=254)
    password = TextField(max_length=4_096, trim_whitespace=False)


class RefreshSerializer(RequestSerializer):
    """A refresh token."""

    refresh = TextField(max_length=4_096)


class LogoutSerializer(RequestSerializer):
    """The refresh token of the sign-in to end; none is needed to end a session."""

    refresh = TextField(max_length=4_096, required=False)


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
        """End the session, and the sign-in that the refresh token belongs to."""
        refresh = self.read(LogoutSerializer).get("refresh")
        if refresh is None and request.user is None:
            raise NotAuthenticatedError("Nobody is signed in, and no refresh token was given.")
        if refresh is not None:
            revoke_tokens(refresh)
        logout(request._request)
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
        ticket = issue_ticket(self.context, now=datetime.now(UTC))
        return Response({"ticket": ticket, "expires_in": int(TICKET_LIFETIME.total_seconds())})
