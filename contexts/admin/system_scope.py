"""Operators' pages see every tenant's rows, so each visit opens a system scope, which is audited."""

from collections.abc import Callable

from django.db import connection, transaction
from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse

from contexts.models import User
from contexts.scope import system_scope

GetResponse = Callable[[HttpRequest], HttpResponseBase]


def staff_in_system_scope(get_response: GetResponse) -> GetResponse:
    """Return middleware that serves the admin's pages to staff inside a system scope.

    What an answer with a server error has written is rolled back.
    """

    def middleware(request: HttpRequest) -> HttpResponseBase:
        user = request.user
        is_page = request.path.startswith(reverse("admin:index")) and request.path != reverse("admin:jsi18n")
        if not (is_page and isinstance(user, User) and user.is_active and user.is_staff):
            return get_response(request)
        with system_scope(f"admin {request.method} {request.path}", actor=user):
            response = get_response(request)
            if response.status_code >= 500 and connection.in_atomic_block:
                transaction.set_rollback(True)
            return response

    return middleware
