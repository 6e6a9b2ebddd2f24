"""A soak: many users ask on many sockets while Redis and a web process are killed and started again."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from uuid import uuid4

import httpx

from tests.flows.soak.people import TENANT_SIZE, Person, make_people
from tests.flows.soak.processes import Cluster
from tests.flows.soak.watcher import Watcher

LOG = "TIMESTAMP,ContextTokens,GeneratedTokens\n2026-01-01 00:00:00,100,10\n"
AT_ONCE = 5
"""Runs of one user that are under way at most; the tier lets ten."""
RETRY_S = 0.3
LOOK_S = 0.05
CATCH_UP_S = 45
REDIS_DOWN_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Size:
    """How many users, sockets each, threads each, and runs each; what is killed how often."""

    users: int
    sockets: int
    threads: int
    runs: int
    redis_restarts: int
    web_kills: int


@dataclass(kw_only=True)
class Course:
    """What a soak leaves behind to be judged."""

    people: list[Person]
    watchers: list[Watcher]
    outages: list[tuple[str, float, float]] = field(default_factory=list)
    """What was down, from when to when (Unix time)."""
    seconds: float = 0.0


async def soak(cluster: Cluster, size: Size) -> Course:
    """Have everybody ask while parts of the cluster are killed, and wait for every event."""
    people = await asyncio.to_thread(make_people, cluster, users=size.users, threads=size.threads)
    datasets = await _upload(cluster, people)
    course = Course(people=people, watchers=_watchers(cluster, people, size))
    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        watching = [group.create_task(watcher.run()) for watcher in course.watchers]
        await _until(lambda: all(watcher.watching_since for watcher in course.watchers))
        for runs, kill in _phases(cluster, size, course):
            asking = [
                group.create_task(_ask_all(person, course.watchers, runs, datasets)) for person in people
            ]
            if kill is not None:
                await asyncio.sleep(random.uniform(0.1, 0.4))  # somewhere in the middle of it
                await kill()
            await asyncio.gather(*asking)
        await _until(lambda: all(watcher.has_everything() for watcher in course.watchers))
        await asyncio.sleep(1)  # what would come twice has time to
        for task in watching:
            task.cancel()
    course.seconds = time.monotonic() - began
    return course


def _watchers(cluster: Cluster, people: Sequence[Person], size: Size) -> list[Watcher]:
    """The first socket of each watches all threads and asks; each of the others watches some."""

    def urls() -> list[str]:
        return [process.url for process in cluster.web]

    return [
        Watcher(
            person,
            person.threads
            if not number
            else person.threads[(number - 1) % size.threads :][: size.threads - 1],
            urls,
        )
        for person in people
        for number in range(size.sockets)
    ]


def _phases(
    cluster: Cluster, size: Size, course: Course
) -> list[tuple[int, Callable[[], Awaitable[None]] | None]]:
    """Return how many runs each asks for in each part of the soak, and what is killed in it."""

    async def restart_redis() -> None:
        began = time.time()
        cluster.redis.kill()
        await asyncio.sleep(REDIS_DOWN_S)
        await asyncio.to_thread(cluster.redis.start)
        course.outages.append(("Redis", began, time.time()))

    async def restart_web() -> None:
        began = time.time()
        cluster.kill_web(0)
        await asyncio.to_thread(cluster.start_web, 0)
        course.outages.append(("web process", began, time.time()))

    kills: list[Callable[[], Awaitable[None]] | None] = [None] if size.runs > 2 else []
    kills += [restart_redis] * min(size.redis_restarts, 1) + [restart_web] * size.web_kills
    kills += [restart_redis] * (size.redis_restarts - 1)
    share, rest = divmod(size.runs, len(kills))
    return [(share + (number < rest), kill) for number, kill in enumerate(kills)]


async def _ask_all(person: Person, watchers: Sequence[Watcher], runs: int, datasets: dict[str, str]) -> None:
    own = [watcher for watcher in watchers if watcher.person is person]
    places = asyncio.Semaphore(AT_ONCE)

    async def ask_one(number: int) -> None:
        async with places:
            thread = person.threads[number % len(person.threads)]
            dataset = datasets.get(person.tenant_id) if number == 0 else None
            run = await _ask(person, own, thread, dataset)
            await _until(lambda: run in own[0].ended)

    await asyncio.gather(*(ask_one(number) for number in range(runs)))


async def _ask(person: Person, own: Sequence[Watcher], thread: str, dataset: str | None) -> str:
    """Ask until it is acknowledged and return the run; the same key makes it one however often it is sent."""
    text = f"Where does our spend go? {person.canary}" if dataset else f"Hello {person.canary}"
    fields = {"thread_id": thread, "text": text, "idempotency_key": uuid4().hex}
    if dataset:
        fields["dataset_ids"] = [dataset]
    began = time.monotonic()
    while True:
        try:
            answer = await own[0].ask("send_message", **fields)
        except (ConnectionError, TimeoutError):
            answer = {}
        if answer.get("type") == "ack":
            break
        await asyncio.sleep(RETRY_S)
    run = str(answer["run_id"])
    person.runs[run] = thread
    for watcher in own:
        # Who came (back) while it was asked may have missed all of it, as a page that lists its threads anew.
        if thread in watcher.threads and (watcher.watching_since or 0) >= began:
            watcher.go_on_with([run])
    return run


async def _upload(cluster: Cluster, people: Sequence[Person]) -> dict[str, str]:
    """Have one user of every other tenant upload a log named by their word; return the ids by tenant."""
    datasets = {}
    async with httpx.AsyncClient(base_url=cluster.web[0].url, timeout=60) as client:
        for person in people[:: 2 * TENANT_SIZE]:
            name = f"{person.tenant_id.replace('-', '')}.csv"
            answer = await client.post(
                "/api/v1/datasets",
                headers={"Authorization": f"Bearer {person.token}"},
                files={"file": (name, LOG.encode())},
                data={"assume_model": "gpt-4o"},
            )
            assert answer.status_code == 201, answer.text
            datasets[person.tenant_id] = str(answer.json()["id"])
    return datasets


async def _until(condition: Callable[[], bool]) -> None:
    """Wait until it holds, or so long that it never will; what is missing then is found when it is judged."""
    for _ in range(int(CATCH_UP_S / LOOK_S)):
        if condition():
            return
        await asyncio.sleep(LOOK_S)
