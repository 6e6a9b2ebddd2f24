"""People who ask scripted questions over real sockets, and the state in which their runs are."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import psycopg

from tests.flows.soak.people import Person
from tests.flows.soak.watcher import Watcher
from tests.scripted.fleet import Fleet
from tests.scripted.question import Script

WAIT_S = 60
LOOK_S = 0.02


@asynccontextmanager
async def watching(fleet: Fleet, person: Person) -> AsyncIterator[Watcher]:
    """Have a socket that watches all threads of a person, for the time of the block."""
    watcher = Watcher(person, person.threads, lambda: [fleet.web[0].url])
    task = asyncio.create_task(watcher.run())
    try:
        await until(lambda: watcher.watching_since is not None, "the socket watches")
        yield watcher
    finally:
        task.cancel()
        await asyncio.wait([task])


async def ask(watcher: Watcher, scripts: Sequence[Script]) -> dict[str, Script]:
    """Ask all of it at once and return the scripts by their runs."""
    person = watcher.person

    async def ask_one(number: int, script: Script) -> tuple[str, Script]:
        thread = person.threads[number % len(person.threads)]
        text = f"{script} {person.canary}"
        answer = await watcher.ask("send_message", thread_id=thread, text=text, idempotency_key=uuid4().hex)
        assert answer["type"] == "ack", answer
        person.runs[answer["run_id"]] = thread
        return answer["run_id"], script

    return dict(await asyncio.gather(*(ask_one(number, script) for number, script in enumerate(scripts))))


async def until(condition: Callable[[], Any], meaning: str, *, seconds: float = WAIT_S) -> None:
    """Wait until what other processes do holds."""
    give_up_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up_at, f"not so within {seconds} s: {meaning}"
        await asyncio.sleep(LOOK_S)


def count(rows: psycopg.Connection[Any], runs: Sequence[str] | dict[str, Any], condition: str) -> int:
    """Return how many of the runs are as an SQL condition on `agents_run` says."""
    found = rows.execute(
        f"SELECT count(*) FROM agents_run run WHERE id = ANY(%s::uuid[]) AND ({condition})", [list(runs)]
    ).fetchone()
    assert found is not None
    return int(found[0])


def count_events(rows: psycopg.Connection[Any], runs: Sequence[str] | dict[str, Any], kind: str) -> int:
    """Return how many events of a type the runs have."""
    found = rows.execute(
        "SELECT count(*) FROM agents_runevent WHERE run_id = ANY(%s::uuid[]) AND type = %s",
        [list(runs), kind],
    ).fetchone()
    assert found is not None
    return int(found[0])


async def until_all(
    rows: psycopg.Connection[Any], runs: Sequence[str] | dict[str, Any], condition: str
) -> None:
    """Wait until every run is as an SQL condition says."""
    await until(lambda: count(rows, runs, condition) == len(runs), f"{len(runs)} runs: {condition}")
