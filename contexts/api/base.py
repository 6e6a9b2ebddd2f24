"""The views' common ground: an execution context for each request, opened after sign-in, always closed."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, ClassVar, cast
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.models import QuerySet
from django.http import HttpResponseBase
from rest_framework import permissions, serializers
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from contexts.api.pages import CursorPages
from contexts.api.parsing import RequestSerializer, StrictJSONParser, check_body
from contexts.context import UserExecutionContext
from contexts.exceptions import NotAuthenticatedError, NotFoundError
from contexts.factory import UserContextFactory, managed_user_context
from contexts.models import User
from contexts.scope import scope


class BoundedView(APIView):
    """A view that takes JSON of bounded size and answers errors as problem details."""

    parser_classes: tuple[type[BaseParser], ...] = (StrictJSONParser,)
    max_body_bytes: ClassVar[int] = settings.DATA_UPLOAD_MAX_MEMORY_SIZE

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse too large a body before anything reads it, then sign in and check permissions."""
        check_body(request._request, limit=self.max_body_bytes)
        super().initial(request, *args, **kwargs)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Keep answers out of caches, unless a view says otherwise."""
        answer = super().finalize_response(request, response, *args, **kwargs)
        answer.headers.setdefault("Cache-Control", "no-store")
        return answer

    def read(self, serializer_class: type[RequestSerializer]) -> dict[str, Any]:
        """Return the request's validated body.

        Raises:
            ValidationError: naming each field that is unknown, missing or has a bad value.
        """
        serializer = serializer_class(data=self.request.data)
        serializer.is_valid(raise_exception=True)
        validated: dict[str, Any] = serializer.validated_data
        return validated


class ContextView(BoundedView):
    """A view for signed-in users; `self.context` is the request's execution context.

    A method runs in one database scope of the context, rolled back when it answers with an error.
    """

    context: UserExecutionContext
    own_scope_methods: ClassVar[frozenset[str]] = frozenset()
    """Methods whose services open scopes themselves: they commit before they publish or delete files."""
    _is_in_scope = False

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Serve the request; whatever happens, its scope ends and its context is closed afterwards."""
        try:
            with ExitStack() as self._open:
                answer = super().dispatch(request, *args, **kwargs)
        except DatabaseError as error:
            # Found out at the commit, when the answer was ready.
            refusal = self.finalize_response(self.request, self.handle_exception(error), *args, **kwargs)
            return cast(HttpResponseBase, refusal)
        if answer.streaming and not connection.in_atomic_block:
            # Else it would stay out of the pool until the last byte is sent: for hours, maybe.
            connection.close()
        return answer

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Sign in, then open the context and its scope.

        Raises:
            NotAuthenticatedError, PermissionDeniedError: as `contexts.selectors.standing_of` does.
            QuotaExceededError: when the user has too many contexts open.
            UnavailableError: when the database does not answer.
        """
        super().initial(request, *args, **kwargs)
        context = UserContextFactory().for_request(_user_id(request))
        self.context = self._open.enter_context(managed_user_context(context))
        if request.method not in self.own_scope_methods:
            self._open.enter_context(scope(context))
            self._is_in_scope = True

    def handle_exception(self, error: Exception) -> Response:
        """Answer an error with problem details, and have the scope rolled back."""
        if self._is_in_scope and connection.in_atomic_block:
            transaction.set_rollback(True)
        return super().handle_exception(error)

    def page(
        self,
        rows: QuerySet[Any],
        serializer_class: type[serializers.Serializer[Any]],
        *,
        ordering: Sequence[str],
    ) -> Response:
        """Answer with the page of `rows` that the request's cursor points at."""
        pages = CursorPages(ordering)
        return pages.get_paginated_response(
            serializer_class(pages.paginate_queryset(rows, self.request, self), many=True).data
        )


def _user_id(request: Request) -> UUID:
    if not isinstance(request.user, User):
        raise NotAuthenticatedError("Nobody is signed in.")
    return request.user.id


class UnknownAddressView(APIView):
    """Answers every address below `/api/` that is not in use."""

    authentication_classes = ()
    permission_classes = (permissions.AllowAny,)
    schema = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse.

        Raises:
            NotFoundError: always.
        """
        raise NotFoundError("There is nothing at this address.")
