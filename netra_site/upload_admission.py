"""Admitting uploads before their bodies are read: signed in, and with storage set aside for them."""

from importlib import import_module
from io import BytesIO
from uuid import UUID

from django.conf import settings
from django.contrib.auth import get_user
from django.core.handlers.asgi import ASGIRequest
from django.db import InterfaceError, OperationalError
from django.http import HttpResponse
from psycopg_pool import PoolTimeout
from rest_framework.exceptions import AuthenticationFailed

from agents.api.upload_handler import ADMITTED_UPLOAD, is_upload
from agents.upload_storage import AdmittedUpload, admit_upload, release_upload
from contexts.api.authentication import TokenAuthentication
from contexts.api.problems import problem_response
from contexts.database import call_in_thread
from contexts.exceptions import InvalidRequestError, NetraError, NotAuthenticatedError
from contexts.leases import get_lease_keeper
from contexts.models import User
from netra_site.body_limit import BodyLimit
from netra_site.early_answers import Application, Message, Receive, Send, answer_early


class UploadAdmission:
    """An ASGI application around another: an upload reaches it once there is room for all of it.

    What is set aside lasts while the upload arrives and is imported; what the view has not settled by
    the end of the request is released, and expires if the process dies.
    """

    def __init__(self, application: Application) -> None:
        """Pass admitted uploads, and all else, on to `application`."""
        self._application = application

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass the request on, or say at once why an upload is refused."""
        if scope["type"] != "http" or not is_upload(scope):
            await self._application(scope, receive, send)
            return
        admitted = await call_in_thread(_admit, scope)
        if isinstance(admitted, HttpResponse):
            await answer_early(admitted, send)
            return
        keeper = get_lease_keeper()
        keeper.hold(admitted.reservation.id)
        try:
            # Not a byte more than there is room for.
            application = BodyLimit(self._application, limit=admitted.size)
            await application({**scope, ADMITTED_UPLOAD: admitted}, receive, send)
        finally:
            keeper.drop(admitted.reservation.id)
            await call_in_thread(release_upload, admitted)


def _admit(scope: Message) -> AdmittedUpload | HttpResponse:
    try:
        return admit_upload(_signed_in(scope), size=_stated_size(scope))
    except (NetraError, OperationalError, InterfaceError, PoolTimeout) as error:
        return problem_response(error, {})


def _stated_size(scope: Message) -> int:
    headers = dict(scope["headers"])
    stated = headers.get(b"content-length", b"0")
    if b"transfer-encoding" in headers or not stated.isdigit():
        raise InvalidRequestError("The request must state the length of its body (Content-Length).")
    return int(stated)


def _signed_in(scope: Message) -> UUID:
    """Return who the view will take the request to be from: by token, else by session.

    A form's own token is in its body; the view checks it.
    """
    request = ASGIRequest({**scope, "query_string": b""}, BytesIO())
    try:
        by_token = TokenAuthentication().authenticate(request)  # type: ignore[arg-type]  # it reads a header
    except AuthenticationFailed as error:
        raise NotAuthenticatedError("The access token is invalid, expired or revoked.") from error
    sessions = import_module(settings.SESSION_ENGINE)
    request.session = sessions.SessionStore(request.COOKIES.get(settings.SESSION_COOKIE_NAME))
    user = get_user(request) if by_token is None else by_token[0]
    if not isinstance(user, User) or not user.is_active:
        raise NotAuthenticatedError("Sign in first.")
    return user.id
