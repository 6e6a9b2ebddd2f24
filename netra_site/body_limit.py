"""Refusing request bodies that are too large before they are received, for the whole site."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from agents.api.upload_handler import MAX_REQUEST_BYTES
from contexts.api.problems import MEDIA_TYPE, ProblemResponse

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[..., Awaitable[None]]


class BodyLimit:
    """An ASGI application around another: more than the largest upload never reaches it.

    Django keeps a whole body in a temporary file before any view sees the request, so only here can
    a large one be refused early. A server such as uvicorn discards what the client still sends.
    """

    def __init__(self, application: Application, *, limit: int = MAX_REQUEST_BYTES) -> None:
        """Guard `application` against bodies of more than `limit` bytes."""
        self._application = application
        self._limit = limit

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 413."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        stated = dict(scope["headers"]).get(b"content-length", b"0")
        if stated.isdigit() and int(stated) > self._limit:
            await self._refuse(send)
            return
        counted = _CountedBody(receive, limit=self._limit)
        try:
            await self._application(scope, counted.receive, send)
        except _BodyTooLargeError:
            # Django reads the body before it answers anything, so nothing was sent yet.
            await self._refuse(send)

    async def _refuse(self, send: Send) -> None:
        response = ProblemResponse(
            "payload_too_large", f"The request is too large; at most {self._limit:,} bytes are taken."
        )
        headers = [
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", str(len(response.content)).encode()),
        ]
        await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": response.content})


class _BodyTooLargeError(Exception):
    pass


class _CountedBody:
    def __init__(self, receive: Receive, *, limit: int) -> None:
        self._receive = receive
        self._left = limit

    async def receive(self) -> Message:
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise _BodyTooLargeError
        return message
