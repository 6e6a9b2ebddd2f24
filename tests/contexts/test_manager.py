import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from hypothesis.strategies import booleans

from contexts.context import current_context
from contexts.exceptions import ContextClosedError, ContextIsolationError, QuotaExceededError
from contexts.factory import managed_user_context
from contexts.identifiers import new_id
from contexts.manager import UserContextManager


def fields(**overrides):
    values = {
        "user_id": new_id(),
        "tenant_id": new_id(),
        "role": "member",
        "tier": "free",
        "operation": "run",
    }
    return {**values, **overrides}


async def test_closing_runs_callbacks_last_in_first_out_and_outlives_failures(caplog):
    manager = UserContextManager()
    context = manager.create_context(**fields())
    called = []

    async def second():
        called.append("second")

    def failing():
        raise RuntimeError("on purpose")

    manager.on_close(context, lambda: called.append("first"))
    manager.on_close(context, second)
    manager.on_close(context, failing)
    manager.on_close(context, lambda: called.append("last"))
    assert await manager.cleanup_context(context.context_id)
    assert called == ["last", "second", "first"]
    assert str(context.context_id) in caplog.text
    assert not await manager.cleanup_context(context.context_id)
    assert len(manager) == 0


async def test_a_parent_closes_its_children_first():
    manager = UserContextManager()
    parent = manager.create_context(**fields())
    child = manager.create_child(parent, "agent.data")
    grandchild = manager.create_child(child, "tool")
    called = []
    for name, context in (("parent", parent), ("child", child), ("grandchild", grandchild)):
        manager.on_close(context, lambda name=name: called.append(name))
    await manager.cleanup_context(parent.context_id)
    assert called == ["grandchild", "child", "parent"]
    assert len(manager) == 0


async def test_closing_a_child_leaves_the_parent_whole():
    manager = UserContextManager()
    parent = manager.create_context(**fields())
    child = manager.create_child(parent, "agent.data")
    parent.state["kept"] = 1
    await manager.cleanup_context(child.context_id)
    assert manager.is_open(parent)
    assert parent.state["kept"] == 1
    with pytest.raises(ContextClosedError):
        manager.create_child(child, "tool")


@pytest.mark.mission_critical("P6")
def test_another_users_context_is_not_handed_out():
    manager = UserContextManager()
    context = manager.create_context(**fields())
    assert manager.get_context(context.context_id, user_id=context.user_id) is context
    with pytest.raises(ContextIsolationError):
        manager.get_context(context.context_id, user_id=new_id())


@pytest.mark.mission_critical("P6")
def test_a_shared_mutable_object_is_reported():
    manager = UserContextManager()
    alice, carol = manager.create_context(**fields()), manager.create_context(**fields())
    alice.state["answers"] = shared = []
    assert manager.detect_cross_contamination().is_clean
    carol.state["cache"] = shared
    assert manager.detect_cross_contamination().shared == ((alice.context_id, carol.context_id, "cache"),)


async def test_limits_per_user_and_per_process():
    manager = UserContextManager(max_contexts_per_user=2, max_contexts=3)
    mine = new_id()
    kept = [manager.create_context(**fields(user_id=mine)) for _ in range(2)]
    with pytest.raises(QuotaExceededError):
        manager.create_context(**fields(user_id=mine))
    manager.create_context(**fields())
    with pytest.raises(QuotaExceededError):
        manager.create_context(**fields())
    await manager.cleanup_context(kept[0].context_id)
    manager.create_context(**fields(user_id=mine))


async def test_expired_contexts_are_closed():
    manager = UserContextManager(time_to_live=timedelta(seconds=10))
    now = datetime.now(UTC)
    old = manager.create_context(**fields(created_at=now - timedelta(seconds=11)))
    young = manager.create_context(**fields(created_at=now))
    assert not manager.validate_isolation(now=now).is_secure
    assert await manager.cleanup_expired(now=now) == 1
    assert not manager.is_open(old)
    assert manager.is_open(young)


async def test_closed_contexts_leave_no_object_behind():
    manager = UserContextManager()
    seen = []
    for _ in range(1_000):
        context = manager.create_context(**fields())
        child = manager.create_child(context, "agent.data")
        seen += [weakref.ref(context), weakref.ref(child)]
        await manager.cleanup_context(context.context_id)
    del context, child
    gc.collect()
    assert not [reference for reference in seen if reference() is not None]
    assert not manager._roots_by_user


def test_threads_may_use_a_manager_at_once():
    manager = UserContextManager()

    def work(_):
        context = manager.create_context(**fields())
        child = manager.create_child(context, "agent.data")
        manager.cleanup_context_sync(context.context_id)
        return context.context_id, child.context_id

    with ThreadPoolExecutor(10) as pool:
        ids = [identifier for pair in pool.map(work, range(2_000)) for identifier in pair]
    assert len(set(ids)) == 4_000
    assert len(manager) == 0


async def test_the_managed_context_is_current_within_and_closed_after_an_error():
    manager = UserContextManager()
    context = manager.create_context(**fields())

    async def work():
        async with managed_user_context(context, manager=manager):
            assert current_context.get() is context
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        await work()
    assert current_context.get() is None
    assert not manager.is_open(context)


class ManagerLifeCycle(RuleBasedStateMachine):
    """Whatever is opened and closed in whatever order, the counts hold and no child outlives its parent."""

    contexts = Bundle("contexts")

    def __init__(self):
        super().__init__()
        self.manager = UserContextManager(max_contexts_per_user=3, max_contexts=20)
        self.users = [new_id(), new_id()]
        self.open = {}

    @rule(target=contexts, user=booleans())
    def create(self, user: bool):
        mine = [c for c in self.open.values() if c.user_id == self.users[user] and c.depth == 0]
        try:
            context = self.manager.create_context(**fields(user_id=self.users[user]))
        except QuotaExceededError:
            assert len(mine) == 3 or len(self.open) >= 20
            return None
        self.open[context.context_id] = context
        return context

    @rule(target=contexts, parent=contexts)
    def create_child(self, parent):
        if parent is None or parent.depth >= 10:
            return None
        try:
            child = self.manager.create_child(parent, "agent.data")
        except ContextClosedError:
            assert parent.context_id not in self.open
            return None
        self.open[child.context_id] = child
        return child

    @rule(context=consumes(contexts))
    def close(self, context):
        if context is None:
            return
        was_open = self.manager.cleanup_context_sync(context.context_id)
        assert was_open == (context.context_id in self.open)
        gone = {context.context_id}
        while more := {c.context_id for c in self.open.values() if c.parent_id in gone} - gone:
            gone |= more
        for identifier in gone:
            self.open.pop(identifier, None)

    @invariant()
    def the_register_agrees(self):
        assert len(self.manager) == len(self.open)
        assert all(self.manager.is_open(context) for context in self.open.values())
        assert not self.manager.validate_isolation().orphaned


TestManagerLifeCycle = ManagerLifeCycle.TestCase
TestManagerLifeCycle.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
