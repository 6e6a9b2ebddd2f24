"""Whatever is done to contexts in whatever order, the manager's books agree with a simple model."""

import asyncio
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule
from hypothesis.strategies import booleans, integers, sampled_from

from contexts.exceptions import (
    ContextClosedError,
    ContextIsolationError,
    NetraError,
    QuarantinedError,
    QuotaExceededError,
)
from contexts.identifiers import new_id
from contexts.manager import UserContextManager
from tests.contexts.managing import fields

MAX_PER_USER = 4
MAX_CONTEXTS = 12
LIFE = timedelta(seconds=60)
OBJECTS = 3


@contextmanager
def refused_as(expected: type[NetraError] | None):
    """Expect exactly this refusal, or none."""
    if expected is None:
        yield
    else:
        with pytest.raises(expected):
            yield


class ManagerLifeCycle(RuleBasedStateMachine):
    """Two users open, nest, fill, renew, quarantine and close contexts while time passes."""

    contexts = Bundle("contexts")

    def __init__(self):
        super().__init__()
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.runner = asyncio.Runner()
        self.manager = UserContextManager(
            max_contexts_per_user=MAX_PER_USER, max_contexts=MAX_CONTEXTS, time_to_live=LIFE
        )
        self.users = [(new_id(), new_id()), (new_id(), new_id())]
        self.objects = [[] for _ in range(OBJECTS)]
        self.open = {}
        self.roots = {}
        self.expires_at = {}
        self.quarantined = set()
        self.kept = {}

    def teardown(self):
        self.runner.run(self.manager.cleanup_all())
        assert len(self.manager) == 0
        assert all(self.manager.ownership.owner_of(thing) is None for thing in self.objects)
        self.runner.close()

    @rule(target=contexts, user=booleans())
    def create(self, user):
        user_id, tenant_id = self.users[user]
        mine = [c for c in self.open.values() if c.user_id == user_id and not c.depth]
        is_full = len(mine) >= MAX_PER_USER or len(self.open) >= MAX_CONTEXTS
        context = None
        with refused_as(QuotaExceededError if is_full else None):
            context = self.manager.create_context(
                **fields(user_id=user_id, tenant_id=tenant_id, created_at=self.now)
            )
            self.open[context.context_id] = context
            self.roots[context.context_id] = context.context_id
            self.expires_at[context.context_id] = self.now + LIFE
        return context

    @rule(target=contexts, parent=contexts)
    def create_child(self, parent):
        if parent is None or parent.depth >= 10:
            return None
        expected = None
        if parent.context_id not in self.open:
            expected = ContextClosedError
        elif parent.context_id in self.quarantined:
            expected = QuarantinedError
        elif len(self.open) >= MAX_CONTEXTS:
            expected = QuotaExceededError
        child = None
        with refused_as(expected):
            child = self.manager.create_child(parent, "agent.data")
            self.open[child.context_id] = child
            self.roots[child.context_id] = self.roots[parent.context_id]
        return child

    @rule(context=contexts, name=sampled_from("ab"), number=integers(0, OBJECTS - 1), nested=booleans())
    def write(self, context, name, number, nested):
        if context is None:
            return
        expected = self.refusal_of(context)
        owners = {
            identifier
            for (identifier, _), kept in self.kept.items()
            if kept == number and self.open[identifier].user_id != context.user_id
        }
        if expected is None and owners:
            expected = ContextIsolationError
        thing = self.objects[number]
        with refused_as(expected):
            context.state[name] = (thing,) if nested else thing
            self.kept[context.context_id, name] = number
        if expected is ContextIsolationError:
            self.stop(context.context_id, *owners)

    @rule(context=contexts, name=sampled_from("ab"))
    def delete(self, context, name):
        if context is None:
            return
        expected = self.refusal_of(context)
        if expected is None and (context.context_id, name) not in self.kept:
            expected = KeyError
        with refused_as(expected):
            del context.state[name]
            del self.kept[context.context_id, name]

    @rule(sender=contexts, named=contexts)
    def send(self, sender, named):
        if sender is None or named is None:
            return
        expected = None
        if sender.context_id in self.quarantined:
            expected = QuarantinedError
        elif named.context_id in self.open and named.user_id != sender.user_id:
            expected = ContextIsolationError
        with refused_as(expected):
            self.manager.check_outgoing(sender, {"text": f"as {named.context_id} says"})
        if expected is ContextIsolationError and sender.context_id in self.open:
            self.stop(sender.context_id)

    @rule(context=contexts)
    def quarantine(self, context):
        if context is None:
            return
        before = len(self.quarantined)
        if context.context_id in self.open:
            self.stop(context.context_id)
        assert self.manager.quarantine(context.context_id, "a test") == (len(self.quarantined) > before)

    @rule(context=contexts)
    def close(self, context):
        if context is None:
            return
        is_open = context.context_id in self.open
        assert self.manager.cleanup_context_sync(context.context_id) == is_open
        self.forget(context.context_id)

    @rule(context=contexts)
    def renew(self, context):
        if context is None:
            return
        is_open = context.context_id in self.open
        with refused_as(None if is_open else ContextClosedError):
            self.manager.renew(context, now=self.now)
            self.expires_at[self.roots[context.context_id]] = self.now + LIFE

    @rule(seconds=integers(1, 45))
    def sweep(self, seconds):
        self.now += timedelta(seconds=seconds)
        due = [identifier for identifier, moment in self.expires_at.items() if moment <= self.now]
        assert set(self.manager.validate_isolation(now=self.now).expired) == set(due)
        assert self.runner.run(self.manager.cleanup_expired(now=self.now)) == len(due)
        for identifier in due:
            self.forget(identifier)

    @invariant()
    def the_books_agree(self):
        assert len(self.manager) == len(self.open) <= MAX_CONTEXTS
        assert all(self.manager.is_open(context) for context in self.open.values())
        roots = [context.user_id for context in self.open.values() if not context.depth]
        assert self.manager.metrics().by_user == {user: roots.count(user) for user in set(roots)}
        for context in self.open.values():
            assert self.manager.is_quarantined(context) == (context.context_id in self.quarantined)
            kept = {name for identifier, name in self.kept if identifier == context.context_id}
            assert set(context.state) == kept

    @invariant()
    def every_object_is_one_users(self):
        for number, thing in enumerate(self.objects):
            holders = {self.open[identifier] for (identifier, _), kept in self.kept.items() if kept == number}
            assert len({context.user_id for context in holders}) <= 1
            owner = self.manager.ownership.owner_of(thing)
            assert owner in holders if holders else owner is None

    @invariant()
    def nothing_is_orphaned_or_shared(self):
        report = self.manager.validate_isolation(now=self.now)
        assert not report.orphaned
        assert report.contamination.is_clean
        assert set(report.quarantined) == self.quarantined & set(self.open)

    def refusal_of(self, context):
        if context.context_id not in self.open:
            return ContextClosedError
        return QuarantinedError if context.context_id in self.quarantined else None

    def stop(self, *identifiers):
        roots = {self.roots[identifier] for identifier in identifiers}
        self.quarantined |= {identifier for identifier in self.open if self.roots[identifier] in roots}

    def forget(self, identifier):
        gone = {identifier}
        while more := {c.context_id for c in self.open.values() if c.parent_id in gone} - gone:
            gone |= more
        for each in gone:
            self.open.pop(each, None)
            self.expires_at.pop(each, None)
        self.kept = {key: number for key, number in self.kept.items() if key[0] not in gone}


# Breaches are recorded by a thread of their own, in the real database.
@pytest.mark.django_db(transaction=True)
@pytest.mark.mission_critical("P6")
class TestManagerLifeCycle(ManagerLifeCycle.TestCase):
    """The machine as a test."""

    settings = settings(max_examples=60, stateful_step_count=40)
