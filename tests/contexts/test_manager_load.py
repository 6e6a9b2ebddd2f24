"""Many contexts at once and one after the other: nothing is mixed up, nothing stays behind."""

import asyncio
import gc
import random
import threading
import weakref
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from contexts.exceptions import ContextIsolationError, InvalidContextError
from contexts.identifiers import new_id
from contexts.manager import UserContextManager
from tests.contexts.managing import fields
from tests.contexts.test_validation import PLACEHOLDERS

WORKERS = 10
REQUESTS = 200


def wrong_fields(chance):
    """Return the arguments of a context that must be refused, and with which error."""
    return chance.choice(
        [
            ({"user_id": chance.choice(PLACEHOLDERS).upper()}, InvalidContextError),
            ({"user_id": ""}, InvalidContextError),
            ({"user_id": 0}, InvalidContextError),
            ({"tenant_id": f"temp_{chance.random()}"[:19]}, InvalidContextError),
            ({"thread_id": "00000000-0000-0000-0000-000000000000"}, InvalidContextError),
            ({"operation": "  "}, InvalidContextError),
            ({"role": "root"}, InvalidContextError),
            ({"agent_context": {"tenant_id": new_id()}}, InvalidContextError),
            ({"agent_context": {"f": object()}}, TypeError),
            ({"tier_level": None}, TypeError),
        ]
    )


def serve(manager, user, chance, step):
    """Do one request of a worker: valid or invalid, with what it leaves checked."""
    if chance.random() < 0.4:
        wrong, error = wrong_fields(chance)
        with pytest.raises(error):
            manager.create_context(**fields(**{"user_id": user, **wrong}))
        return "refused", []
    context = manager.create_context(**fields(user_id=user, tenant_id=user))
    assert list(context.state) == []
    context.state["mine"] = [str(user)]
    child = manager.create_child(context, "agent.data", step=step)
    assert list(child.state) == []
    child.state["mine"] = {"user": str(user), "of": context.state["mine"]}
    return context, [context.context_id, context.request_id, child.context_id, child.request_id]


@pytest.mark.mission_critical("P6")
def test_workers_in_threads_share_a_manager():
    manager = UserContextManager()
    start = threading.Barrier(WORKERS)
    users = [new_id() for _ in range(WORKERS // 2)]

    def work(number):
        user, chance, ids, done = users[number % len(users)], random.Random(number), [], Counter()
        start.wait()
        for step in range(REQUESTS):
            outcome, new = serve(manager, user, chance, step)
            ids += new
            if outcome == "refused":
                done["refused"] += 1
                continue
            assert outcome.state["mine"] == [str(user)]
            assert manager.get_context(outcome.context_id, user_id=user) is outcome
            with pytest.raises(ContextIsolationError):
                manager.get_context(outcome.context_id, user_id=new_id())
            assert manager.cleanup_context_sync(outcome.context_id)
            done["served"] += 1
        return ids, done

    with ThreadPoolExecutor(WORKERS) as pool:
        results = list(pool.map(work, range(WORKERS)))
    check(manager, [ids for ids, _ in results], sum((done for _, done in results), Counter()))


@pytest.mark.mission_critical("P6")
async def test_workers_in_tasks_share_a_manager():
    manager = UserContextManager()
    users = [new_id() for _ in range(WORKERS // 2)]

    async def work(number):
        user, chance, ids, done = users[number % len(users)], random.Random(number), [], Counter()
        for step in range(REQUESTS):
            outcome, new = serve(manager, user, chance, step)
            ids += new
            await asyncio.sleep(0)  # let the others in between
            if outcome == "refused":
                done["refused"] += 1
                continue
            assert outcome.state["mine"] == [str(user)]
            assert await manager.cleanup_context(outcome.context_id)
            done["served"] += 1
        return ids, done

    results = await asyncio.gather(*(work(number) for number in range(WORKERS)))
    check(manager, [ids for ids, _ in results], sum((done for _, done in results), Counter()))


def check(manager, ids_by_worker, done):
    """Compare what the workers saw with what the manager counted."""
    ids = [identifier for ids in ids_by_worker for identifier in ids]
    assert len(ids) == len(set(ids)) == 4 * done["served"]
    assert sum(done.values()) == WORKERS * REQUESTS
    assert min(done.values()) > WORKERS * REQUESTS / 5
    metrics = manager.metrics()
    assert metrics.created == metrics.children == done["served"]
    assert metrics.refused_by_validation == done["refused"]
    assert metrics.closed == 2 * done["served"]
    assert (metrics.active, metrics.breaches, metrics.failed_callbacks, metrics.by_user) == (0, 0, 0, {})


@pytest.mark.mission_critical("P6")
def test_a_thousand_honest_contexts_are_clean():
    manager = UserContextManager()
    text, names = "the same for all", ("a", "b")
    for _ in range(1_000):
        context = manager.create_context(**fields(agent_context={"text": text, "names": names}))
        context.state["words"] = [text, names, fields, random, InvalidContextError]
    assert manager.validate_isolation().is_secure


async def test_ten_thousand_closed_contexts_leave_no_object_behind():
    manager = UserContextManager()
    seen = []
    for number in range(10_000):
        context = manager.create_context(**fields(thread_id=new_id(), agent_context={"number": number}))
        context.state["rows"] = rows = {number}
        seen.append(weakref.ref(context))
        seen.append(weakref.ref(rows))
        if number % 10 == 0:
            child = manager.create_child(context, "agent.data")
            manager.on_close(child, lambda context=context: None)
            seen.append(weakref.ref(child))
        if number % 2:
            await manager.cleanup_context(context.context_id)
        else:
            manager.cleanup_context_sync(context.context_id)
    del context, child, rows
    gc.collect()
    assert len(seen) == 21_000
    assert not [reference for reference in seen if reference() is not None]
    assert (len(manager), manager.metrics().by_user) == (0, {})
