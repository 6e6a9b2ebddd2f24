"""The disk of the datasets is full: uploads are refused whole, and what lies on it is still read."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial

import httpx
import pytest

from tests.flows.soak.people import Person
from tests.flows.soak.processes import Process
from tests.flows.survival.checks import Rows, verdict
from tests.flows.survival.test_cancelling import LOG
from tests.scripted.asking import ask, until, watching
from tests.scripted.disk import SmallDisk, no_more_files
from tests.scripted.fleet import Fleet
from tests.scripted.question import Script
from tests.scripted.verdict import unsettled, used

pytestmark = [pytest.mark.e2e, pytest.mark.mission_critical("P3"), pytest.mark.mission_critical("P4")]


async def test_a_full_disk_refuses_uploads_whole_and_fails_no_run(
    running: Fleet,
    disk: SmallDisk,
    pair: tuple[Process, Process],
    strangers: list[Person],
    rows: Rows,
) -> None:
    owner, newcomer = strangers[:2]
    ways: list[Callable[[], AbstractContextManager[None]]] = [
        partial(no_more_files, running.web[0].process.pid)
    ]
    if disk.is_mounted:  # otherwise the system lets nobody but an administrator
        ways += [disk.full, disk.crowded]
    reading = [Script(name=f"full-{number}", steps=1, tool="describe_dataset") for number in range(3)]
    runs: dict[str, Script] = {}
    async with (
        httpx.AsyncClient(base_url=running.web[0].url, timeout=60) as client,
        watching(running, owner) as watcher,
    ):
        assert (await upload(client, owner)).status_code == 201
        before = state(disk, rows)
        stored = [used(rows, person.user_id, "storage_bytes") for person in (owner, newcomer)]
        for number, exhausted in enumerate(ways):
            with exhausted():
                # The folder of the newcomer's tenant is not there yet.
                for person in (owner, newcomer):
                    refused = await upload(client, person)
                    assert refused.status_code == 503, refused.text
                    assert refused.headers["Content-Type"] == "application/problem+json"
                    assert refused.json()["code"] == "unavailable"
                runs |= await ask(watcher, [reading[number]])
                await until(watcher.has_everything, "a run reads what lies there")
        assert state(disk, rows) == before
        assert [used(rows, person.user_id, "storage_bytes") for person in (owner, newcomer)] == stored
        assert unsettled(rows, newcomer.user_id) == []
        for person in (owner, newcomer):
            assert (await upload(client, person)).status_code == 201
    verdict(running, rows, runs, watcher)
    assert len(disk.files()) == len(before[0]) + 2


async def upload(client: httpx.AsyncClient, person: Person) -> httpx.Response:
    """Upload a log."""
    return await client.post(
        "/api/v1/datasets",
        headers={"Authorization": f"Bearer {person.token}"},
        files={"file": ("calls.csv", LOG.encode())},
    )


def state(disk: SmallDisk, rows: Rows) -> tuple[list[str], list[tuple[object, ...]]]:
    """Return the files and the rows of all datasets."""
    return disk.files(), rows.execute("SELECT id::text FROM agents_dataset ORDER BY id").fetchall()
