"""One client of a soak: watches threads, comes back after every close, and keeps all that it receives."""

import asyncio
import json
import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage

from tests.flows.soak.people import Person

TERMINAL = {"agent_completed", "run_failed", "run_cancelled"}
ANSWER_S = 20
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 0.5


@dataclass(frozen=True, slots=True)
class Received:
    """A frame, when it came (Unix time), and on which of its client's connections."""

    connection: int
    at: float
    raw: str


@dataclass(frozen=True, slots=True)
class Resumed:
    """A `resume` that was answered: from here on, events from the cursors on may follow."""

    connection: int
    cursors: dict[str, int]


class Watcher:
    """A client of `person` that watches some of their threads, on any server that `urls` names."""

    def __init__(self, person: Person, threads: list[str], urls: Callable[[], list[str]]) -> None:
        """Do nothing before `run`."""
        self.person = person
        self.threads = threads
        self.records: list[Received | Resumed] = []
        self.closes: list[int] = []
        self.cursors: dict[str, int] = {}
        """Of each run the number up to which every event has come."""
        self.ended: set[str] = set()
        self.watching_since: float | None = None
        """When all threads were subscribed to on the present connection (monotonic)."""
        self._urls = urls
        self._early: dict[str, dict[int, str]] = {}
        self._connections = 0
        self._next_id = 0
        self._answers: dict[str, asyncio.Future[dict[str, Any] | None]] = {}
        self._resumes: dict[str, dict[str, int]] = {}
        self._socket: ClientConnection | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Stay connected until cancelled."""
        pause = FIRST_PAUSE_S
        while True:
            before = len(self.records)
            with suppress(OSError, TimeoutError, InvalidHandshake, InvalidMessage, ConnectionClosed):
                await self._connect(random.choice(self._urls()))
            pause = FIRST_PAUSE_S if len(self.records) > before else min(pause * 2, LONGEST_PAUSE_S)
            await asyncio.sleep(pause * random.uniform(0.5, 1))

    def has_everything(self) -> bool:
        """Tell whether all runs that were asked for in the watched threads have come to their ends."""
        runs = self.person.runs.items()
        return self.ended.issuperset(run for run, thread in runs if thread in self.threads)

    async def ask(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Send a frame and return its answer.

        Raises:
            ConnectionError: when the socket closes before; the frame may have been carried out.
        """
        if self._socket is None:
            raise ConnectionError("not connected")
        self._next_id += 1
        frame_id = str(self._next_id)
        if kind == "resume":
            self._resumes[frame_id] = fields["cursors"]
        answer = self._answers[frame_id] = asyncio.get_running_loop().create_future()
        try:
            await self._socket.send(json.dumps({"type": kind, "id": frame_id, **fields}))
            answered = await asyncio.wait_for(answer, ANSWER_S)
        except ConnectionClosed as error:
            raise ConnectionError("closed") from error
        finally:
            self._answers.pop(frame_id, None)
        if answered is None:
            raise ConnectionError("closed")
        return answered

    def go_on_with(self, runs: list[str]) -> None:
        """Have what is missing of runs sent, in the background."""
        cursors = {run: self.cursors.get(run, 0) for run in runs if run not in self.ended}
        if cursors:
            self._spawn(self._resume(cursors))

    async def _connect(self, url: str) -> None:
        address = url.replace("http://", "ws://") + "/ws/chat/"
        subprotocols: Any = ["netra.v1", f"bearer.{self.person.token}"]
        async with connect(
            address, subprotocols=subprotocols, max_size=2**24, open_timeout=10, close_timeout=1
        ) as socket:
            self._connections += 1
            self._socket = socket
            try:
                async for raw in socket:
                    self._take(str(raw))
            finally:
                self._socket = self.watching_since = None
                if socket.close_code is not None:  # otherwise it is this client that leaves
                    self.closes.append(socket.close_code)
                for answer in self._answers.values():
                    if not answer.done():
                        answer.set_result(None)
                for task in list(self._tasks):
                    task.cancel()

    def _take(self, raw: str) -> None:
        self.records.append(Received(self._connections, time.time(), raw))
        frame = json.loads(raw)
        kind = frame["type"]
        if kind == "connection_established":
            self._spawn(self._watch())
        elif "seq" in frame:
            self._count(frame["run_id"], frame["seq"], kind)
        elif "id" in frame and frame["id"] in self._answers:
            if frame["id"] in self._resumes and kind == "ack":
                self.records.append(Resumed(self._connections, self._resumes.pop(frame["id"])))
            if not self._answers[frame["id"]].done():
                self._answers[frame["id"]].set_result(frame)

    def _count(self, run: str, seq: int, kind: str) -> None:
        cursor = self.cursors.get(run, 0)
        early = self._early.setdefault(run, {})
        if seq > cursor:
            early[seq] = kind
        if seq > cursor + 1 and len(early) == 1:
            # what came before was published before this socket watched
            self.go_on_with([run])
        while cursor + 1 in early:
            cursor += 1
            self.cursors[run] = cursor
            if early.pop(cursor) in TERMINAL:
                self.ended.add(run)

    async def _watch(self) -> None:
        for thread in self.threads:
            await self._require(self.ask("subscribe", thread_id=thread))
        self.watching_since = time.monotonic()
        self.go_on_with([run for run, thread in self.person.runs.items() if thread in self.threads])

    async def _resume(self, cursors: dict[str, int]) -> None:
        await self._require(self.ask("resume", cursors=cursors))

    async def _require(self, asking: Any) -> None:
        answer = await asking
        assert answer["type"] == "ack", answer

    def _spawn(self, doing: Any) -> None:
        task = asyncio.create_task(self._guard(doing))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guard(self, doing: Any) -> None:
        # What the closing of the socket cut off is done again on the next connection; and whatever the
        # server refuses or leaves unanswered, a client comes anew.
        with suppress(ConnectionError):
            try:
                await doing
            except (TimeoutError, AssertionError):
                if self._socket is not None:
                    await self._socket.close()
