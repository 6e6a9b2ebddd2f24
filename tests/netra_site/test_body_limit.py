import json
from collections.abc import Sequence
from typing import Any

import pytest

from netra_site.body_limit import BodyLimit, Message


class _Exchange:
    """One request's messages in, and what was answered."""

    def __init__(self, bodies: Sequence[bytes], headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        self.scope: Message = {"type": "http", "headers": list(headers)}
        self._bodies = list(bodies)
        self.received = 0
        self.sent: list[Message] = []

    async def receive(self) -> Message:
        body = self._bodies[self.received]
        self.received += 1
        return {"type": "http.request", "body": body, "more_body": self.received < len(self._bodies)}

    async def send(self, message: Message) -> None:
        self.sent.append(message)


async def _read_all(scope: Message, receive: Any, send: Any) -> None:
    while (message := await receive()).get("more_body"):
        pass
    if message["type"] == "http.disconnect":
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})


@pytest.mark.parametrize(
    ("bodies", "headers"), [([b"x" * 10], [(b"content-length", b"10")]), ([b"x" * 5, b"x" * 5], [])]
)
async def test_a_body_within_the_limit_passes(
    bodies: list[bytes], headers: list[tuple[bytes, bytes]]
) -> None:
    exchange = _Exchange(bodies, headers)
    await BodyLimit(_read_all, limit=10)(exchange.scope, exchange.receive, exchange.send)
    assert exchange.sent[0]["status"] == 200


@pytest.mark.parametrize(
    ("bodies", "headers", "received"),
    [([b"x" * 11], [(b"content-length", b"11")], 0), ([b"x" * 5, b"x" * 6, b"x"], [], 2)],
    ids=["stated", "counted"],
)
async def test_a_body_over_the_limit_is_refused_before_its_end(
    bodies: list[bytes], headers: list[tuple[bytes, bytes]], received: int
) -> None:
    exchange = _Exchange(bodies, headers)
    await BodyLimit(_read_all, limit=10)(exchange.scope, exchange.receive, exchange.send)
    assert exchange.received == received
    start, body = exchange.sent
    assert start["status"] == 413
    assert dict(start["headers"])[b"content-type"] == b"application/problem+json"
    problem = json.loads(body["body"])
    assert (problem["code"], problem["status"]) == ("payload_too_large", 413)


async def test_sockets_are_not_counted() -> None:
    exchange = _Exchange([b"x" * 100])
    exchange.scope["type"] = "websocket"
    await BodyLimit(_read_all, limit=10)(exchange.scope, exchange.receive, exchange.send)
    assert exchange.sent[0]["status"] == 200
