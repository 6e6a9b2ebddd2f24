from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from contexts.context import current_context
from contexts.exceptions import (
    ContextClosedError,
    ContextIsolationError,
    InvalidContextError,
    QuarantinedError,
    QuotaExceededError,
)
from contexts.factory import managed_user_context
from contexts.identifiers import new_id
from contexts.manager import UserContextManager, get_context_manager
from tests.contexts.managing import fields


def test_a_context_is_made_of_a_user_and_a_tier():
    manager = UserContextManager()
    user_id = new_id()
    context = manager.create_context(user_id, "early")
    assert (context.user_id, context.tier, context.role, context.operation) == (
        user_id,
        "early",
        "member",
        "work",
    )
    assert context.tenant_id == user_id  # the user's own space
    assert manager.create_context(str(user_id)).tenant_id == user_id
    assert manager.create_context(user_id).tier == "free"


def test_further_fields_are_taken():
    run_id, tenant_id = new_id(), new_id()
    context = UserContextManager().create_context(
        new_id(), tenant_id=tenant_id, role="owner", operation="run", run_id=run_id, agent_context={"a": [1]}
    )
    assert (context.run_id, context.tenant_id, context.role) == (run_id, tenant_id, "owner")
    assert context.agent_context["a"] == (1,)


@pytest.mark.mission_critical("P9")
@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"user_id": ""}, InvalidContextError),
        ({"user_id": "test"}, InvalidContextError),
        ({"user_id": UUID(int=0)}, InvalidContextError),
        ({"user_id": 7}, InvalidContextError),
        ({"user_id": None}, InvalidContextError),
        ({"tenant_id": "default"}, InvalidContextError),
        ({"role": "king"}, InvalidContextError),
        ({"tier_level": "placeholder"}, InvalidContextError),
        ({"tier_level": 5}, TypeError),
        ({"operation": ""}, InvalidContextError),
        ({"agent_context": {"role": "owner"}}, InvalidContextError),
        ({"agent_context": {"a": object()}}, TypeError),
        ({"agent_context": 7}, TypeError),
        ({"unknown": 7}, TypeError),
        ({"state": None}, TypeError),
    ],
)
def test_an_invalid_context_is_refused_and_leaves_nothing(wrong, error):
    manager = UserContextManager()
    with pytest.raises(error):
        manager.create_context(**fields(**wrong))
    assert len(manager) == 0
    assert manager.metrics().created == 0
    assert manager.metrics().refused_by_validation == 1


def test_the_tier_is_named_once():
    with pytest.raises(TypeError, match="tier"):
        UserContextManager().create_context(**fields(tier="enterprise"))


def test_only_roots_with_an_id_of_their_own_are_created():
    manager = UserContextManager()
    parent = manager.create_context(**fields())
    child = parent.child("agent.data")
    with pytest.raises(InvalidContextError, match="parent"):
        manager.create_context(**fields(depth=1, parent_id=parent.context_id, ancestors=child.ancestors))
    with pytest.raises(InvalidContextError, match="context_id"):
        manager.create_context(**fields(context_id=parent.context_id))
    assert len(manager) == 1


def test_there_are_two_isolation_levels():
    with pytest.raises(ValueError, match="strict, permissive"):
        UserContextManager("lenient")


def test_a_child_takes_what_is_its_own():
    manager = UserContextManager()
    parent = manager.create_context(**fields(agent_context={"a": 1}))
    child = manager.create_child(parent, "agent.data", audit_metadata={"step": 2}, b=[2])
    assert dict(child.agent_context) == {"a": 1, "b": (2,)}
    assert child.audit_metadata["step"] == 2
    assert manager.get_context(child.context_id) is child


@pytest.mark.mission_critical("P6")
def test_another_users_context_is_not_handed_out():
    manager = UserContextManager()
    context = manager.create_context(**fields())
    for user_id in (context.user_id, str(context.user_id), None):
        assert manager.get_context(context.context_id, user_id=user_id) is context
    assert manager.get_context(str(context.context_id)) is context
    with pytest.raises(ContextIsolationError):
        manager.get_context(context.context_id, user_id=new_id())
    with pytest.raises(ContextClosedError):
        manager.get_context(new_id())
    with pytest.raises(InvalidContextError):
        manager.get_context("none")


async def test_limits_per_user_and_per_process():
    manager = UserContextManager(max_contexts_per_user=2, max_contexts=4)
    mine = new_id()
    kept = [manager.create_context(**fields(user_id=mine)) for _ in range(2)]
    with pytest.raises(QuotaExceededError) as refusal:
        manager.create_context(**fields(user_id=mine))
    assert refusal.value.limit == 2
    manager.create_child(kept[0], "agent.data")
    other = manager.create_context(**fields())
    with pytest.raises(QuotaExceededError) as refusal:
        manager.create_context(**fields())
    assert refusal.value.limit == 4
    with pytest.raises(QuotaExceededError):
        manager.create_child(other, "agent.data")
    assert manager.metrics().rejected_by_limit == 3
    await manager.cleanup_context(kept[0].context_id)
    manager.create_context(**fields(user_id=mine))


async def test_expired_contexts_are_closed():
    manager = UserContextManager(time_to_live=timedelta(seconds=10))
    now = datetime.now(UTC)
    old = manager.create_context(**fields(created_at=now - timedelta(seconds=10)))
    child = manager.create_child(old, "agent.data")
    young = manager.create_context(**fields(created_at=now - timedelta(seconds=9)))
    report = manager.validate_isolation(now=now)
    assert (report.expired, report.is_secure) == ((old.context_id,), False)
    assert await manager.cleanup_expired(now=now) == 1
    assert [manager.is_open(context) for context in (old, child, young)] == [False, False, True]
    assert manager.metrics().expired == 1
    assert manager.validate_isolation(now=now).is_secure


async def test_a_renewed_context_lives_on_with_its_family():
    manager = UserContextManager(time_to_live=timedelta(seconds=10))
    now = datetime.now(UTC)
    parent = manager.create_context(**fields(created_at=now))
    child = manager.create_child(parent, "agent.data")
    manager.renew(child, now=now + timedelta(seconds=9))
    assert await manager.cleanup_expired(now=now + timedelta(seconds=18)) == 0
    assert await manager.cleanup_expired(now=now + timedelta(seconds=19)) == 1
    with pytest.raises(ContextClosedError):
        manager.renew(parent)


async def test_all_are_closed_at_once():
    manager = UserContextManager()
    for _ in range(3):
        manager.create_child(manager.create_context(**fields()), "agent.data")
    assert await manager.cleanup_all() == 3
    assert len(manager) == 0


@pytest.mark.mission_critical("P6")
def test_a_quarantine_stops_the_whole_line_of_work_and_nobody_elses():
    manager = UserContextManager()
    parent = manager.create_context(**fields())
    child = manager.create_child(parent, "agent.data")
    sibling = manager.create_child(parent, "agent.actions")
    own_other = manager.create_context(**fields(user_id=parent.user_id, tenant_id=parent.tenant_id))
    called = []
    for name, context in (("parent", parent), ("child", child), ("other", own_other)):
        manager.on_quarantine(context, lambda name=name: called.append(name))
    assert manager.quarantine(child.context_id, "a test")
    assert sorted(called) == ["child", "parent"]
    assert all(map(manager.is_quarantined, (parent, child, sibling)))
    assert not manager.is_quarantined(own_other)
    assert not manager.quarantine(parent.context_id, "a test")
    assert not manager.quarantine(new_id(), "a test")
    assert sorted(called) == ["child", "parent"]
    for refused in (
        lambda: manager.create_child(parent, "agent.data"),
        lambda: manager.check_outgoing(parent, "hello"),
        lambda: sibling.state.__setitem__("x", 1),
    ):
        with pytest.raises(QuarantinedError):
            refused()
    assert manager.metrics().quarantined == 3
    report = manager.validate_isolation()
    assert report.quarantined == (parent.context_id, child.context_id, sibling.context_id)
    assert not report.is_secure


def test_who_asks_late_is_told_of_a_quarantine_at_once(caplog):
    manager = UserContextManager()
    context = manager.create_context(**fields())
    called = []

    def failing():
        raise RuntimeError("on purpose")

    manager.on_quarantine(context, lambda: called.append("before"))
    manager.on_quarantine(context, failing)
    manager.on_quarantine(context, lambda: called.append("after"))
    manager.quarantine(context.context_id, "a test")
    assert called == ["before", "after"]
    assert (manager.metrics().failed_callbacks, str(context.context_id) in caplog.text) == (1, True)
    manager.on_quarantine(context, lambda: called.append("late"))
    assert called[-1] == "late"
    manager.cleanup_context_sync(context.context_id)
    assert manager.is_quarantined(context)
    manager.on_quarantine(context, lambda: called.append("closed"))
    assert called[-1] == "closed"
    closed = manager.create_context(**fields())
    manager.cleanup_context_sync(closed.context_id)
    with pytest.raises(ContextClosedError):
        manager.on_quarantine(closed, failing)


def test_a_state_that_is_too_large_is_reported():
    manager = UserContextManager(max_state_bytes=1_000)
    small, large = manager.create_context(**fields()), manager.create_context(**fields())
    small.state["a"] = ["x"]
    large.state["a"] = "x" * 1_000
    report = manager.validate_isolation()
    assert (report.over_limit, report.is_secure) == ((large.context_id,), False)


async def test_metrics_count_what_was_done():
    manager = UserContextManager()
    contexts = [manager.create_context(**fields()) for _ in range(3)]
    manager.create_child(contexts[0], "agent.data")
    await manager.cleanup_context(contexts[0].context_id)
    metrics = manager.metrics()
    assert (metrics.created, metrics.children, metrics.closed) == (3, 1, 2)
    assert (metrics.active, metrics.peak) == (2, 4)
    assert metrics.by_user == {context.user_id: 1 for context in contexts[1:]}


async def test_health_says_what_is_wrong():
    manager = UserContextManager(max_contexts=10, time_to_live=timedelta(seconds=10))
    now = datetime.now(UTC)
    assert manager.health(now=now).is_healthy
    contexts = [manager.create_context(**fields(created_at=now)) for _ in range(9)]
    manager.quarantine(contexts[0].context_id, "a test")
    health = manager.health(now=now + timedelta(seconds=11))
    assert not health.is_healthy
    assert health.reasons == (
        "9 contexts outlived their time.",
        "1 contexts are quarantined and still open.",
        "9 of at most 10 contexts are open.",
    )
    await manager.cleanup_all()
    assert manager.health(now=now).is_healthy


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


def test_a_process_has_one_strict_manager_that_detects():
    manager = get_context_manager()
    assert manager is get_context_manager()
    assert (manager.is_strict, manager.detects) == (True, True)
