"""Group commit: many runs' events in one round trip, numbered without a gap whatever becomes of a commit."""

import asyncio
from typing import Any

import pytest
from psycopg import OperationalError

from agents import event_writer
from agents.event_log import FencedError
from contexts.database import call_in_thread
from tests.agents.running import Recorder, ask, begin, begin_all, log_of, stored_types
from tests.factories import make_cast

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def alice():
    return make_cast().alice


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the sizes of the groups that are committed."""
    sizes: list[int] = []
    commit = event_writer._commit

    async def counting(group: Any, events: Any) -> set[int]:
        sizes.append(len(group))
        return await commit(group, events)

    monkeypatch.setattr(event_writer, "_commit", counting)
    return sizes


def think(log, text):
    return log.append("agent_thinking", agent_name="triage", data={"step": 1, "text": text})


def seqs(recorder: Recorder, run_id: Any) -> list[int]:
    return [event.seq for event in recorder.of(run_id) if event.type == "agent_thinking"]


@pytest.mark.mission_critical("P2")
async def test_many_runs_share_their_round_trips(alice, recorder, commits):
    run_ids, logs = await begin_all(alice, 5)
    await asyncio.gather(*(think(log, f"{number}") for number in range(40) for log in logs))
    for run_id, log in zip(run_ids, logs, strict=True):
        assert seqs(recorder, run_id) == list(range(2, 42))
        texts = [event.data["text"] for event in recorder.of(run_id) if event.type == "agent_thinking"]
        assert texts == [f"{number}" for number in range(40)]
        assert await call_in_thread(stored_types, run_id) == ["run_queued"] + ["agent_thinking"] * 40
        await log.settle()
    assert len(commits) <= 4, commits
    assert max(commits) <= event_writer.MAX_GROUP


@pytest.mark.mission_critical("P2")
async def test_a_commit_whose_answer_was_lost_is_not_made_twice(alice, recorder, monkeypatch):
    (run_id,), (log,) = await begin_all(alice, 1)
    commit = event_writer._commit
    lost = 1

    async def losing(group: Any, events: Any) -> set[int]:
        nonlocal lost
        refused = await commit(group, events)
        if lost:
            lost -= 1
            raise OperationalError("the connection was closed")
        return refused

    monkeypatch.setattr(event_writer, "_commit", losing)
    first = await think(log, "Written once.")
    assert (first.seq, seqs(recorder, run_id)) == (2, [2])
    lost = 2
    with pytest.raises(OperationalError):
        await think(log, "Written, but nobody knows.")
    after = await think(log, "Numbered on.")
    assert after.seq == 4
    assert await call_in_thread(stored_types, run_id) == ["run_queued"] + ["agent_thinking"] * 3
    assert seqs(recorder, run_id) == [2, 4], "the socket reads the one between from the log"


@pytest.mark.mission_critical("P3")
async def test_of_two_attempts_in_one_group_the_later_writes(alice, recorder, commits):
    run_id = await call_in_thread(ask, alice)
    (other_id,), (other,) = await begin_all(alice, 1)
    early = log_of(await call_in_thread(begin, run_id))
    late = log_of(await call_in_thread(begin, run_id))
    results = await asyncio.gather(
        *(think(log, "Me.") for log in (early, late, other, early)), return_exceptions=True
    )
    assert [type(result) is FencedError for result in results] == [True, False, False, True]
    assert commits == [4]
    assert (seqs(recorder, run_id), seqs(recorder, other_id)) == ([2], [2])
    assert (await think(late, "Still me.")).seq == 3


async def test_an_event_whose_reporter_was_cancelled_is_still_written(alice, recorder):
    (run_id,), (log,) = await begin_all(alice, 1)
    reporting = asyncio.ensure_future(think(log, "Cancelled at once."))
    await asyncio.sleep(0)
    reporting.cancel()
    await asyncio.gather(reporting, return_exceptions=True)
    await log.settle()
    assert seqs(recorder, run_id) == [2]
