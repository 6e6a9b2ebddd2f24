"""Running model calls and queries are interrupted, by their user or by their deadline, and end once."""

import asyncio
import time
from collections.abc import Callable, Sequence

import httpx
import pytest

from tests.flows.soak.people import Person
from tests.flows.soak.processes import Process
from tests.flows.survival.checks import Rows, put_on_tier
from tests.scripted.asking import ask, count_events, until, watching
from tests.scripted.fleet import Fleet
from tests.scripted.question import Script
from tests.scripted.verdict import courses, faults, unsettled, used

pytestmark = [pytest.mark.e2e, pytest.mark.mission_critical("P3")]

LOG = "created_at,model,prompt_tokens,completion_tokens\n2026-01-01T00:00:00Z,gpt-4o,1000,100\n"
RUN_S = 2


async def test_a_model_call_and_a_query_are_interrupted_by_cancel_and_by_the_deadline(
    running: Fleet,
    pair: tuple[Process, Process],
    strangers: list[Person],
    rows: Rows,
    say: Callable[[str], None],
) -> None:
    person, hurried = strangers[:2]
    give_deadline(rows, hurried)
    for owner in (person, hurried):
        await asyncio.to_thread(upload, running, owner)
    async with watching(running, person) as watcher, watching(running, hurried) as late:
        runs = await ask(watcher, endless("user"))
        timed = await ask(late, endless("deadline"))
        by_script = {script.name: run for run, script in (runs | timed).items()}
        await until(lambda: count_events(rows, runs, "tool_executing") == len(runs) + 2, "queries run")
        asked_at = {}
        for name in ("user-model-0", "user-query-0"):
            asked_at[by_script[name]] = time.time()
            assert (await watcher.ask("cancel_run", run_id=by_script[name]))["type"] == "ack"
        async with httpx.AsyncClient(
            base_url=running.web[0].url, headers={"Authorization": f"Bearer {person.token}"}, timeout=30
        ) as client:
            for name in ("user-model-1", "user-query-1"):
                asked_at[by_script[name]] = time.time()
                answer = await client.post(f"/api/v1/runs/{by_script[name]}/cancel")
                assert answer.status_code < 300, answer.text
        await until(lambda: watcher.has_everything() and late.has_everything(), "all have ended")
    went = courses(rows, runs | timed)
    counts = running.counts()
    assert [fault for course in went.values() for fault in faults(course, counts)] == []
    for run in runs:
        assert (went[run].events[-1].type, went[run].events[-1].data) == ("run_cancelled", {"by": "user"})
    for run in timed:
        end = went[run].events[-1]
        assert (end.type, end.data["code"], end.data["retryable"]) == ("run_failed", "timeout", True)
    for owner, own in ((person, runs), (hurried, timed)):
        assert unsettled(rows, owner.user_id) == []
        spent = rows.execute(
            "SELECT sum(input_tokens + output_tokens) FROM agents_run WHERE id = ANY(%s::uuid[])", [list(own)]
        ).fetchone()
        assert (used(rows, owner.user_id, "tokens"),) == spent
        assert used(rows, owner.user_id, "cpu_seconds") > 0
    seconds = sorted(went[run].events[-1].at - at for run, at in asked_at.items())
    say(f"cancel: run_cancelled came {', '.join(f'{second:.2f}' for second in seconds)} s after it was asked")


def endless(label: str) -> Sequence[Script]:
    """Return runs of which two wait for a model, and two for a query."""
    return [
        script
        for number in range(2)
        for script in (
            Script(name=f"{label}-model-{number}", model_s=60),
            Script(name=f"{label}-query-{number}", steps=1, tool="endless_query"),
        )
    ]


def give_deadline(rows: Rows, person: Person) -> None:
    """Put a person's tenant on a tier whose runs have two seconds."""
    rows.execute(
        'UPDATE contexts_tierlimit SET "limit" = %s FROM contexts_tier tier'
        " WHERE tier.id = tier_id AND slug = 'mid' AND resource = 'run_seconds'",
        [RUN_S],
    )
    put_on_tier(rows, person, "mid")


def upload(running: Fleet, person: Person) -> None:
    """Give a person's tenant a dataset."""
    answer = httpx.post(
        f"{running.web[0].url}/api/v1/datasets",
        headers={"Authorization": f"Bearer {person.token}"},
        files={"file": ("calls.csv", LOG.encode())},
        timeout=60,
    )
    assert answer.status_code == 201, answer.text
