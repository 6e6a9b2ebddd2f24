"""What flows share: a socket that speaks the protocol, and uploads."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from websockets.sync.client import ClientConnection, connect

from tests.servers import ServerProcess

TERMINAL = {"agent_completed", "run_failed", "run_cancelled"}


class Socket:
    """A signed-in socket: sends frames with ids, and keeps all that comes."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.frames: list[dict[str, Any]] = []
        self._next_id = 0

    def send(self, kind: str, **fields: Any) -> str:
        """Send a frame and return its id."""
        self._next_id += 1
        self.connection.send(json.dumps({"type": kind, "id": str(self._next_id), **fields}))
        return str(self._next_id)

    def receive(self, timeout: float = 30) -> dict[str, Any]:
        """Return the next frame."""
        frame: dict[str, Any] = json.loads(self.connection.recv(timeout))
        self.frames.append(frame)
        return frame

    def answer(self, frame_id: str) -> dict[str, Any]:
        """Return the `ack`, `pong` or `error` to a frame."""
        while True:
            frame = self.receive()
            if frame.get("id") == frame_id:
                return frame

    def ask(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Send a frame and return its answer."""
        return self.answer(self.send(kind, **fields))

    def finish(self, run_id: str) -> list[dict[str, Any]]:
        """Return all of a run's events, when the last has come."""
        while not (own := self.events(run_id)) or own[-1]["type"] not in TERMINAL:
            self.receive()
        return own

    def events(self, run_id: str) -> list[dict[str, Any]]:
        """Return the run's events received so far."""
        return [frame for frame in self.frames if frame.get("run_id") == run_id and "seq" in frame]


@contextmanager
def open_socket(server: ServerProcess, username: str, *, access: str | None = None) -> Iterator[Socket]:
    """Sign in by token, if none is given, and open a socket."""
    address = server.url.replace("http://", "ws://") + "/ws/chat/"
    subprotocols: Any = ["netra.v1", f"bearer.{access or server.token(username)}"]
    with connect(address, subprotocols=subprotocols, max_size=2**24) as connection:
        socket = Socket(connection)
        assert socket.receive()["type"] == "connection_established"
        yield socket


def upload(client: httpx.Client, path: Path, **fields: str) -> dict[str, Any]:
    """Upload a file and return the dataset."""
    with path.open("rb") as file:
        answer = client.post("/api/v1/datasets", files={"file": (path.name, file)}, data=fields)
    assert answer.status_code == 201, answer.text
    dataset: dict[str, Any] = answer.json()
    return dataset
