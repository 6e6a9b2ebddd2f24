"""Refusing request bodies that are too large before they are received, for the whole site."""

from django.conf import settings

from agents.api.upload_handler import MAX_REQUEST_BYTES, is_upload
from contexts.api.problems import ProblemResponse
from netra_site.early_answers import Application, Message, Receive, Send, answer_early


class BodyLimit:
    """An ASGI application around another: a body larger than is taken anywhere never reaches it.

    Django keeps a whole body in a temporary file before any view sees the request, so only here can
    a large one be refused early.
    """

    def __init__(self, application: Application, *, limit: int | None = None) -> None:
        """Guard `application` against bodies of more than `limit` bytes; without it, as the address takes."""
        self._application = application
        self._limit = limit

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 413."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        limit = _largest_body(scope) if self._limit is None else self._limit
        stated = dict(scope["headers"]).get(b"content-length", b"0")
        if stated.isdigit() and int(stated) > limit:
            await _refuse(limit, send)
            return
        body = _CountedBody(receive, limit=limit)
        await self._application(scope, body.receive, send)
        if body.is_too_large:
            # Django reads the body before it answers anything, so nothing was sent yet.
            await _refuse(limit, send)


def _largest_body(scope: Message) -> int:
    return MAX_REQUEST_BYTES if is_upload(scope) else settings.DATA_UPLOAD_MAX_MEMORY_SIZE


async def _refuse(limit: int, send: Send) -> None:
    problem = ProblemResponse(
        "payload_too_large", f"The request is too large; at most {limit:,} bytes are taken here."
    )
    await answer_early(problem, send)


class _CountedBody:
    """Hands a body on; once it is too large, what is behind it sees the client as gone."""

    def __init__(self, receive: Receive, *, limit: int) -> None:
        self._receive = receive
        self._left = limit

    @property
    def is_too_large(self) -> bool:
        return self._left < 0

    async def receive(self) -> Message:
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        return {"type": "http.disconnect"} if self.is_too_large else message
