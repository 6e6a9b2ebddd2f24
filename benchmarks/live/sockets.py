"""A WebSocket client that does no more than it must: it counts events and notes when they came."""

import asyncio
import base64
import json
import os
import re
import socket
import time
from typing import Any

SEQ = re.compile(rb'"seq": ?(\d+)')
SENT_AT = re.compile(rb"sent at (\d{19})")
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
REST_S = 0.05
"""Of a slow reader, who so reads some dozens of KiB a second."""
_MASK = b"\0\0\0\0"  # masking with zeros changes nothing


class CountingSocket(asyncio.Protocol):
    """One socket (RFC 6455); its events are those frames that have a number."""

    def __init__(self, *, path: str, headers: dict[str, str], user_id: str) -> None:
        """Ask for `path`; every event must be the user's."""
        self._path, self._headers = path, headers
        self._owner = user_id.encode()
        self._buffer = b""
        self._is_open = False
        self.transport: Any = None
        loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[tuple[int, str]] = loop.create_future()
        self.others: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        """What came besides events, while somebody waits for it."""
        self.keeps_others = True
        self.times_events = False
        self.reads_slowly = False
        """Whether it rests a while after each time it has read."""
        self.received = 0
        self.misplaced = 0
        """Events that were not the next by number."""
        self.foreign = 0
        """Events of another user."""
        self.last_seq = 0
        self.last_at_ns = 0
        self.latencies_ns: list[int] = []

    def connection_made(self, transport: Any) -> None:
        """Ask for the upgrade."""
        self.transport = transport
        key = base64.b64encode(os.urandom(16)).decode()
        headers = {
            "Host": "127.0.0.1",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": key,
            **self._headers,
        }
        lines = [f"GET {self._path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        transport.write(("\r\n".join(lines) + "\r\n\r\n").encode())

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        data = self._buffer + data if self._buffer else data
        if not self._is_open:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._buffer = data
                return
            status = data.split(b" ", 2)[1]
            if status != b"101":
                self._fail(ConnectionError(f"The handshake was answered with {status.decode()}."))
                return
            self._is_open = True
            self.opened.set_result(None)
            data = data[end + 4 :]
        self._buffer = self._take_frames(data)
        if self.reads_slowly and not self.transport.is_closing():
            self.transport.pause_reading()
            asyncio.get_running_loop().call_later(REST_S, self._read_on)

    def connection_lost(self, error: Exception | None) -> None:
        """Note that it is over."""
        self._fail(ConnectionError("The connection was lost."))
        if not self.closed.done():
            self.closed.set_result((1006, ""))

    def send(self, frame: dict[str, Any]) -> None:
        """Send a frame of JSON text."""
        self._write(TEXT, json.dumps(frame).encode())

    async def answer_to(self, frame_type: str) -> dict[str, Any]:
        """Return the next frame of a type that is no event; what comes before is dropped.

        Raises:
            ConnectionError: when the socket is closed instead.
        """
        while True:
            getting = asyncio.ensure_future(self.others.get())
            ends: list[asyncio.Future[Any]] = [getting, self.closed]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if not getting.done():
                getting.cancel()
                raise ConnectionError(f"Closed with {self.closed.result()} instead of {frame_type}.")
            frame = getting.result()
            if frame["type"] == frame_type:
                return frame
            if frame["type"] == "error":
                raise ConnectionError(f"Refused: {frame}")

    def count_anew(self, *, times_events: bool) -> None:
        """Forget what was counted so far."""
        self.received = self.misplaced = self.foreign = 0
        self.latencies_ns = []
        self.times_events = times_events

    def close(self) -> None:
        """Close the socket as a page does that is left."""
        if self.transport is not None and not self.transport.is_closing():
            self._write(CLOSE, (1001).to_bytes(2, "big"))
            self.transport.close()

    def _read_on(self) -> None:
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def _take_frames(self, data: bytes) -> bytes:
        position, end = 0, len(data)
        while end - position >= 2:
            length, start = data[position + 1], position + 2
            if length == 126:
                start += 2
                length = int.from_bytes(data[position + 2 : start], "big")
            elif length == 127:
                start += 8
                length = int.from_bytes(data[position + 2 : start], "big")
            if end < start or end - start < length:
                break
            kind = data[position] & 15
            position = start + length
            payload = data[start:position]
            if kind == TEXT:
                self._take_text(payload)
            elif kind == PING:
                self._write(PONG, payload)
            elif kind == CLOSE:
                self._take_close(payload)
        return data[position:]

    def _take_text(self, payload: bytes) -> None:
        found = SEQ.search(payload)
        if found is None:
            if self.keeps_others:
                self.others.put_nowait(json.loads(payload))
            return
        seq = int(found[1])
        if seq != self.last_seq + 1:
            self.misplaced += 1
        if self._owner not in payload:
            self.foreign += 1
        self.last_seq = seq
        self.received += 1
        self.last_at_ns = time.monotonic_ns()
        if self.times_events and (sent_at := SENT_AT.search(payload)):
            self.latencies_ns.append(self.last_at_ns - int(sent_at[1]))

    def _take_close(self, payload: bytes) -> None:
        if not self.closed.done():
            self.closed.set_result((int.from_bytes(payload[:2], "big"), payload[2:].decode(errors="replace")))
        if self.transport is not None:
            self.transport.close()

    def _write(self, kind: int, payload: bytes) -> None:
        length = len(payload)
        head = bytes([0x80 | kind])
        head += bytes([0x80 | length]) if length < 126 else bytes([0xFE]) + length.to_bytes(2, "big")
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(head + _MASK + payload)

    def _fail(self, error: ConnectionError) -> None:
        if not self.opened.done():
            self.opened.set_exception(error)
        if self.transport is not None:
            self.transport.close()


async def open_socket(
    port: int, *, path: str, headers: dict[str, str], user_id: str, receive_bytes: int | None = None
) -> CountingSocket:
    """Return a socket that the server has accepted; `receive_bytes` limits what the kernel takes for it.

    Raises:
        ConnectionError: when the server refuses it.
    """
    connection = socket.socket()
    if receive_bytes is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    connection.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(connection, ("127.0.0.1", port))
    _, opened = await loop.create_connection(
        lambda: CountingSocket(path=path, headers=headers, user_id=user_id), sock=connection
    )
    await opened.opened
    return opened
