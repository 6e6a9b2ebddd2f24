"""The floor: an ASGI application that accepts sockets and is told by function call what to send them."""

import asyncio
import json
from typing import Any

from benchmarks.live.frames import event_frame

_sends: dict[str, list[Any]] = {}


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Accept the socket of the user whom the address names, and keep it until it is closed."""
    user_id = scope["path"].strip("/").rsplit("/", 1)[-1]
    await receive()
    await send({"type": "websocket.accept"})
    sends = _sends.setdefault(user_id, [])
    sends.append(send)
    try:
        while (await receive())["type"] != "websocket.disconnect":
            pass
    finally:
        sends.remove(send)


class BareEmitter:
    """Sends one user's events, encoded beforehand but for their number and moment."""

    def __init__(self, person: dict[str, str]) -> None:
        """Send to this person's sockets."""
        self._user_id = person["user_id"]
        frame = json.dumps(event_frame(person, 7_777_777, 0), separators=(",", ":"))
        self._head, rest = frame.split("7777777")
        self._middle, self._tail = rest.split("0" * 19)
        self._seq = 0

    async def emit(self, sent_ns: int) -> None:
        """Send the next event."""
        self._seq += 1
        text = f"{self._head}{self._seq}{self._middle}{sent_ns:019d}{self._tail}"
        for send in _sends.get(self._user_id, ()):
            await send({"type": "websocket.send", "text": text})
        await asyncio.sleep(0)  # some servers' `send` never waits, and the other users have their turn
