"""Closing contexts: callbacks, children, cancellation, and two closers at once."""

import asyncio

import pytest

from contexts.exceptions import (
    ContextClosedError,
)
from contexts.identifiers import new_id
from contexts.manager import UserContextManager
from tests.contexts.managing import fields


async def test_closing_runs_callbacks_last_in_first_out_and_outlives_failures(caplog):
    manager = UserContextManager()
    context = manager.create_context(**fields(run_id=new_id()))
    called = []

    async def second():
        called.append("second")

    def failing():
        raise RuntimeError("on purpose")

    async def failing_later():
        raise RuntimeError("on purpose")

    manager.on_close(context, lambda: called.append("first"))
    manager.on_close(context, second)
    manager.on_close(context, failing)
    manager.on_close(context, failing_later)
    manager.on_close(context, lambda: called.append("last"))
    assert await manager.cleanup_context(context.context_id)
    assert called == ["last", "second", "first"]
    for identifier in (context.context_id, context.user_id, context.run_id):
        assert caplog.text.count(str(identifier)) >= 2
    assert manager.metrics().failed_callbacks == 2
    assert not await manager.cleanup_context(context.context_id)
    assert not await manager.cleanup_context(new_id())
    assert len(manager) == 0


def test_closing_from_synchronous_code_refuses_asynchronous_callbacks_only(caplog):
    manager = UserContextManager()
    context = manager.create_context(**fields())
    called = []

    async def asynchronous():
        called.append("never")

    manager.on_close(context, lambda: called.append("first"))
    manager.on_close(context, asynchronous)
    assert manager.cleanup_context_sync(context.context_id)
    assert called == ["first"]
    assert manager.metrics().failed_callbacks == 1
    assert "asynchronous callback" in caplog.text
    assert not manager.cleanup_context_sync(context.context_id)


async def test_a_cancelled_closing_closes_all_the_same():
    manager = UserContextManager()
    context = manager.create_context(**fields())
    reached, called = asyncio.Event(), []

    async def stuck():
        reached.set()
        await asyncio.Event().wait()

    manager.on_close(context, lambda: called.append("first"))
    manager.on_close(context, stuck)
    closing = asyncio.create_task(manager.cleanup_context(context.context_id))
    await reached.wait()
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert called == ["first"]
    assert len(manager) == 0


async def test_only_one_of_two_closers_closes_and_callbacks_may_still_use_the_state():
    manager = UserContextManager()
    context = manager.create_context(**fields())
    context.state["kept"] = 1
    entered, go_on, seen = asyncio.Event(), asyncio.Event(), []

    async def slow():
        entered.set()
        await go_on.wait()
        seen.append(context.state["kept"])

    manager.on_close(context, slow)
    first = asyncio.create_task(manager.cleanup_context(context.context_id))
    await entered.wait()
    assert not manager.is_open(context)
    assert not await manager.cleanup_context(context.context_id)
    for refused in (
        lambda: manager.on_close(context, slow),
        lambda: manager.create_child(context, "agent.data"),
        lambda: manager.get_context(context.context_id),
        lambda: manager.renew(context),
    ):
        with pytest.raises(ContextClosedError):
            refused()
    go_on.set()
    assert await first
    assert seen == [1]
    assert context.state.is_closed


async def test_a_parent_closes_its_children_first():
    manager = UserContextManager()
    parent = manager.create_context(**fields())
    child = manager.create_child(parent, "agent.data")
    grandchild = manager.create_child(child, "tool")
    younger = manager.create_child(parent, "agent.actions")
    called = []
    names = {"parent": parent, "child": child, "grandchild": grandchild, "younger": younger}
    for name, context in names.items():
        manager.on_close(context, lambda name=name: called.append(name))
    await manager.cleanup_context(parent.context_id)
    assert called == ["younger", "grandchild", "child", "parent"]
    assert all(context.state.is_closed for context in names.values())
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
    with pytest.raises(ContextClosedError):
        manager.on_close(child, lambda: None)
