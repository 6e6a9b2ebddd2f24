"""The process of the users: their sockets, what came through them, and when."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import uvloop

from benchmarks.live.commands import Handler, serve_commands
from benchmarks.live.sockets import CountingSocket, open_socket

CONNECT_PATIENCE_S = 60.0
QUIET_S = 2.0


class Users:
    """The users' sockets, by a group's name (`active`, `idle`, …)."""

    def __init__(self) -> None:
        """Have none."""
        self._groups: dict[str, list[CountingSocket]] = {}
        self._wanted: dict[CountingSocket, tuple[int, dict[str, Any]]] = {}

    async def connect(
        self,
        port: int,
        sockets: Sequence[dict[str, Any]],
        *,
        group: str,
        at_once: int,
        seconds: float = 600.0,
    ) -> dict[str, Any]:
        """Open sockets, `at_once` at the same time, but begin none after `seconds`; say how long it took."""
        opened = self._groups.setdefault(group, [])
        waiting = iter(sockets)
        began = time.monotonic()
        count = 0

        async def work() -> None:
            nonlocal count
            for wanted in waiting:
                if time.monotonic() - began > seconds:
                    return
                async with asyncio.timeout(CONNECT_PATIENCE_S):
                    each = await _connect(port, wanted)
                opened.append(each)
                self._wanted[each] = (port, wanted)
                count += 1

        await asyncio.gather(*(work() for _ in range(at_once)))
        return {"opened": count, "seconds": time.monotonic() - began}

    async def disconnect(self, group: str) -> None:
        """Close a group's sockets."""
        sockets = self._groups.pop(group, [])
        for each in sockets:
            each.close()
        for each in sockets:
            await each.closed
            self._wanted.pop(each, None)

    async def count_anew(self, group: str, *, times_events: bool = False) -> None:
        """Forget what a group's sockets have received."""
        for each in self._groups[group]:
            each.count_anew(times_events=times_events)

    async def settle(self, group: str, *, expected: int, quiet_s: float = QUIET_S) -> dict[str, Any]:
        """Wait until `expected` events or, for `quiet_s` seconds, none have come; tell what came."""
        sockets = self._groups[group]
        quiet_since = time.monotonic()
        before = received = sum(each.received for each in sockets)
        while received < expected and time.monotonic() - quiet_since < quiet_s:
            await asyncio.sleep(0.01)
            received = sum(each.received for each in sockets)
            if received != before:
                before, quiet_since = received, time.monotonic()
        return {
            "received": received,
            "misplaced": sum(each.misplaced for each in sockets),
            "foreign": sum(each.foreign for each in sockets),
            "closed": sum(each.closed.done() for each in sockets),
            "last_at_ns": max(each.last_at_ns for each in sockets),
            "latencies_ns": [latency for each in sockets for latency in each.latencies_ns],
        }

    async def catch_up(self, group: str, *, run_id: str | None, expected: int) -> dict[str, Any]:
        """Have a group's only socket read quickly, and resume `run_id` as long as the server closes it.

        Without a run there is no resumption.
        """
        [reader] = self._groups[group]
        reader.reads_slowly = False
        result: dict[str, Any] = {"close_code": None, "caught_up": None}
        await _until_quiet(reader, expected)
        result |= {"received": reader.received, "misplaced": reader.misplaced}
        while run_id is not None and reader.closed.done() and reader.received < expected:
            result["close_code"] = reader.closed.result()[0]
            port, wanted = self._wanted[reader]
            again = await _connect(port, {**wanted, "receive_bytes": None, "thread_id": None})
            again.last_seq, again.received = reader.last_seq, reader.received
            again.keeps_others = True
            again.send({"type": "resume", "id": "2", "cursors": {run_id: reader.last_seq}})
            await again.answer_to("ack")
            await _until_quiet(again, expected)
            if again.received == reader.received:
                break
            result["misplaced"] += again.misplaced
            reader = self._groups[group][0] = again
        if run_id is not None:
            result["caught_up"] = reader.received
        return result

    @property
    def handlers(self) -> dict[str, Handler]:
        """Return what can be asked of the users."""
        return {
            "connect": self.connect,
            "disconnect": self.disconnect,
            "count_anew": self.count_anew,
            "settle": self.settle,
            "catch_up": self.catch_up,
        }


async def _connect(port: int, wanted: dict[str, Any]) -> CountingSocket:
    receive_bytes = wanted.get("receive_bytes")
    opened = await open_socket(
        port,
        path=wanted["path"],
        headers=wanted["headers"],
        user_id=wanted["user_id"],
        receive_bytes=receive_bytes,
    )
    if wanted["is_netra"]:
        await opened.answer_to("connection_established")
    if thread_id := wanted["thread_id"]:
        opened.send({"type": "subscribe", "id": "1", "thread_id": thread_id})
        await opened.answer_to("ack")
    opened.keeps_others = False
    opened.reads_slowly = receive_bytes is not None
    return opened


async def _until_quiet(reader: CountingSocket, expected: int) -> None:
    """Wait until a socket has received all, was closed, or gets nothing for two seconds."""
    before, since = reader.received, time.monotonic()
    while reader.received < expected and not reader.closed.done() and time.monotonic() - since < QUIET_S:
        await asyncio.sleep(0.02)
        if reader.received != before:
            before, since = reader.received, time.monotonic()


async def _serve() -> None:
    serve_commands(Users().handlers, asyncio.get_running_loop())
    await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve())
