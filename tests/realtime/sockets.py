"""A client's end of a socket on the real consumer."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.testing import ApplicationCommunicator

from realtime.protocol import SERVER_FRAMES
from realtime.routing import websocket_application

PATIENCE_S = 10


class Socket:
    """A client's end of a socket on the real consumer; every frame is checked against the protocol."""

    def __init__(self, **scope: Any) -> None:
        defaults = {"path": "/ws/chat/", "query_string": b"", "headers": [], "subprotocols": []}
        self.communicator = ApplicationCommunicator(
            websocket_application, {"type": "websocket", **defaults, **scope}
        )
        self.accepted = False
        self.subprotocol: str | None = None

    async def connect(self) -> "Socket":
        await self.communicator.send_input({"type": "websocket.connect"})
        answer = await self.communicator.receive_output(PATIENCE_S)
        self.accepted = answer["type"] == "websocket.accept"
        self.subprotocol = answer.get("subprotocol")
        return self

    async def receive(self) -> dict[str, Any]:
        message = await self.communicator.receive_output(PATIENCE_S)
        assert message["type"] == "websocket.send", message
        frame: dict[str, Any] = json.loads(message["text"])
        SERVER_FRAMES.validate_python(frame)
        return frame

    async def receive_until(self, kind: str) -> list[dict[str, Any]]:
        frames = [await self.receive()]
        while frames[-1]["type"] != kind:
            frames.append(await self.receive())
        return frames

    async def send(self, **frame: Any) -> None:
        await self.send_text(json.dumps(frame))

    async def send_text(self, text: str) -> None:
        await self.communicator.send_input({"type": "websocket.receive", "text": text})

    async def send_bytes(self, data: bytes) -> None:
        await self.communicator.send_input({"type": "websocket.receive", "bytes": data})

    async def ask(self, **frame: Any) -> dict[str, Any]:
        """Send a frame and return its answer, which must be the next frame."""
        frame.setdefault("id", "1")
        await self.send(**frame)
        answer = await self.receive()
        assert answer["id"] == frame["id"], answer
        return answer

    async def close_code(self) -> int:
        """Return the code with which the server closes; frames before it are passed over."""
        while True:
            message = await self.communicator.receive_output(PATIENCE_S)
            if message["type"] == "websocket.close":
                return int(message["code"])

    async def hears_nothing(self) -> bool:
        """Tell whether nothing waits, proved by a ping that is answered at once."""
        await self.send(type="ping", id="quiet?")
        return await self.receive() == {"type": "pong", "id": "quiet?"}

    async def leave(self) -> None:
        if not self.communicator.future.done():
            await self.communicator.send_input({"type": "websocket.disconnect", "code": 1000})
            await self.communicator.wait(PATIENCE_S)


OpenSocket = Callable[..., Awaitable[Socket]]
