import json
import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contexts.context import UserExecutionContext
from contexts.exceptions import ContextIsolationError
from contexts.identifiers import new_id
from contexts.isolation import Breach, OutgoingGuard
from contexts.isolation import outgoing as outgoing_module
from contexts.models import BreachKind, Detector
from tests.contexts.breaches import open_context

pytestmark = [pytest.mark.mission_critical("P6"), pytest.mark.mission_critical("P8")]

CANARY = "canary-7f3a-Quartz-oriole"


class Guard(OutgoingGuard):
    """A guard that keeps the breaches it reports, and opens contexts it learns."""

    def __init__(self) -> None:
        self.breaches: list[Breach] = []
        super().__init__(self.breaches.append)

    def open(self, **fields: Any) -> UserExecutionContext:
        """Return a new context of a run with all identifiers there are."""
        for name in ("thread_id", "run_id", "connection_id"):
            fields.setdefault(name, new_id())
        context = open_context(**fields)
        self.learn(context)
        return context

    def stops(self, context: UserExecutionContext, payload: Any) -> bool:
        """Tell whether `payload` is stopped, with exactly one breach reported."""
        before = len(self.breaches)
        try:
            self.check(context, payload)
        except ContextIsolationError:
            assert len(self.breaches) == before + 1
            return True
        assert len(self.breaches) == before
        return False


@pytest.fixture
def guard() -> Guard:
    return Guard()


@pytest.mark.parametrize(
    "name",
    ["thread_id", "run_id", "context_id", "connection_id", "request_id", "correlation_id", "tenant_id"],
)
def test_an_id_of_another_tenant_is_stopped(guard: Guard, name: str) -> None:
    alice, carol = guard.open(), guard.open()
    found = getattr(alice, name)
    payload = {"type": "tool_completed", "data": {"rows": [1, {"note": f"see {found}, please"}]}}
    with pytest.raises(ContextIsolationError) as raised:
        guard.check(carol, payload)
    (breach,) = guard.breaches
    assert (breach.kind, breach.detector) == (BreachKind.FOREIGN_IDENTIFIER, Detector.ON_THE_WAY_OUT)
    assert breach.blocked
    assert breach.contexts == (carol,)
    assert breach.details == {
        "identifier": str(found),
        "owner_tenant_id": str(alice.tenant_id),
        "owner_user_id": None if name == "tenant_id" else str(alice.user_id),
        "path": "$['data']['rows'][1]['note']",
    }
    json.dumps(breach.details)
    assert str(found) not in str(raised.value)
    assert not guard.stops(alice, payload)


def test_a_colleague_sees_the_tenants_ids_only(guard: Guard) -> None:
    dataset = new_id()
    alice = guard.open(agent_context={"attached_datasets": [str(dataset)]})
    bob = guard.open(tenant_id=alice.tenant_id)
    assert not guard.stops(bob, f"{alice.tenant_id} {dataset}")
    assert guard.stops(bob, str(alice.thread_id))
    assert guard.stops(bob, str(alice.run_id))
    assert guard.stops(guard.open(), str(dataset))


def test_one_users_ids_in_one_tenant_do_not_leave_in_another(guard: Guard) -> None:
    alice = guard.open()
    elsewhere = guard.open(user_id=alice.user_id)
    assert guard.stops(elsewhere, str(alice.run_id))


@pytest.mark.parametrize(
    "write",
    [
        str,
        lambda i: str(i).upper(),
        lambda i: i.hex,
        lambda i: i.hex.upper(),
        lambda i: i,
        lambda i: str(i).encode(),
        lambda i: f"{{{i}}}",
        lambda i: i.urn,
        lambda i: f"id{i.hex}",
        lambda i: f"deadbeef{i.hex}0123",
        lambda i: f"ab{i}cd-12",
        lambda i: f"<a href='/threads/{i}/'>thread</a>",
        lambda i: f"{new_id()}-{i}",
        lambda i: (1, {2: [i]}),
        lambda i: {str(i): 1},
        lambda i: {i},
        lambda i: [[["x" * 40, {"a": {"b": [str(i)]}}]]],
    ],
)
def test_however_it_is_written_it_is_stopped(guard: Guard, write: Any) -> None:
    alice, carol = guard.open(), guard.open()
    payload = write(alice.run_id)
    assert guard.stops(carol, payload)
    assert guard.stops(carol, {"data": [payload] if not isinstance(payload, set) else payload})
    assert not guard.stops(alice, payload)


def test_what_is_nobodys_passes(guard: Guard) -> None:
    guard.open()
    carol = guard.open()
    for payload in (
        "",
        "A short answer.",
        f"{new_id()} {carol.thread_id} {carol.run_id} {carol.tenant_id} {carol.connection_id}",
        {"n": 1, "f": 1.5, "b": True, "none": None, "d": Decimal("1.5"), "at": datetime.now(UTC)},
        ["0" * 64, "f" * 1_000, "deadbeef" * 20, "-" * 200],
        {"rows": [{"model": "gpt-4o", "cost": 1.25} for _ in range(100)]},
    ):
        assert not guard.stops(carol, payload)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.lists(inner)))
def test_any_data_without_ids_pass(payload: Any) -> None:
    guard = Guard()
    guard.open()
    assert not guard.stops(guard.open(), payload)


def test_data_that_contain_themselves_are_refused(guard: Guard) -> None:
    ring: list[Any] = []
    ring.append(ring)
    with pytest.raises(RecursionError):
        guard.check(guard.open(), ring)


def test_a_canary_is_stopped_and_not_repeated(guard: Guard) -> None:
    alice, carol = guard.open(), guard.open()
    bob = guard.open(tenant_id=alice.tenant_id)
    guard.add_canary(alice, CANARY)
    payload = {"answer": ["fine", f"the rows say {CANARY}!"]}
    assert not guard.stops(alice, payload)
    for other in (bob, carol):
        assert guard.stops(other, payload)
    breach = guard.breaches[0]
    assert breach.kind == BreachKind.CANARY
    assert breach.details == {
        "owner_tenant_id": str(alice.tenant_id),
        "owner_user_id": str(alice.user_id),
        "path": "$['answer'][1]",
    }
    assert guard.stops(carol, {CANARY: 1})
    assert guard.breaches[-1].details["path"] == "$[…]"


def test_a_canary_stays_its_first_owners(guard: Guard) -> None:
    alice, carol = guard.open(), guard.open()
    guard.add_canary(alice, CANARY)
    guard.add_canary(carol, CANARY)
    assert guard.stops(carol, CANARY)
    assert not guard.stops(alice, CANARY)


def test_a_canary_is_long(guard: Guard) -> None:
    alice = guard.open()
    with pytest.raises(ValueError, match="16"):
        guard.add_canary(alice, "x" * 15)
    guard.add_canary(alice, "x" * 16)
    assert guard.stops(guard.open(), "x" * 16)


def test_what_users_wrote_themselves_is_no_leak(guard: Guard) -> None:
    alice, carol = guard.open(), guard.open()
    guard.add_canary(alice, CANARY)
    guard.allow(carol, f"What is run {str(alice.run_id).upper()}?")
    guard.allow(carol, f"And what is {CANARY}?")
    child = carol.child("agent.data")
    guard.learn(child)
    for context in (carol, child):
        assert not guard.stops(context, f"I know no {alice.run_id}, nor {CANARY}.")
    assert guard.stops(carol, str(alice.thread_id))
    again = guard.open(user_id=carol.user_id, tenant_id=carol.tenant_id)
    assert guard.stops(again, str(alice.run_id))
    guard.forget(child)
    assert not guard.stops(carol, str(alice.run_id))
    guard.forget(carol)
    assert guard.stops(carol, str(alice.run_id))
    assert not guard._allowed


def test_what_one_wrote_is_not_allowed_to_another_of_the_same_correlation(guard: Guard) -> None:
    alice = guard.open()
    carol = guard.open()
    request = guard.open(
        user_id=carol.user_id, tenant_id=carol.tenant_id, correlation_id=carol.correlation_id
    )
    mallory = guard.open(correlation_id=carol.correlation_id)
    guard.allow(carol, str(alice.run_id))
    guard.forget(request)
    assert not guard.stops(carol, str(alice.run_id))
    assert guard.stops(mallory, str(alice.run_id))


def test_a_forgotten_context_allows_nothing_more(guard: Guard) -> None:
    alice, carol = guard.open(), guard.open()
    guard.forget(carol)
    guard.allow(carol, str(alice.run_id))
    assert guard.stops(carol, str(alice.run_id))
    assert not guard._allowed


def test_what_lasts_is_remembered_after_its_context(guard: Guard) -> None:
    dataset = new_id()
    alice, carol = guard.open(agent_context={"attached_datasets": (str(dataset),)}), guard.open()
    guard.add_canary(alice, CANARY)
    guard.forget(alice)
    for lasting in (alice.thread_id, alice.run_id, dataset, CANARY):
        assert guard.stops(carol, str(lasting))
    for gone in (alice.context_id, alice.request_id, alice.connection_id, alice.tenant_id):
        assert not guard.stops(carol, str(gone))
    assert not guard.stops(guard.open(user_id=alice.user_id, tenant_id=alice.tenant_id), str(alice.thread_id))


def test_an_id_is_known_until_its_last_context_is_forgotten(guard: Guard) -> None:
    alice, carol = guard.open(), guard.open()
    children = [alice.child("agent.data"), alice.child("agent.actions")]
    for child in children:
        guard.learn(child)
        guard.learn(child)
    for child in children:
        guard.forget(child)
        guard.forget(child)
        assert guard.stops(carol, str(alice.connection_id))
        assert not guard.stops(carol, str(child.context_id))
    guard.forget(alice)
    assert not guard.stops(carol, str(alice.connection_id))
    guard.forget(carol)
    assert not guard._owners
    assert not guard._more_claims
    assert not guard._learnt


def test_the_first_owner_of_an_id_keeps_it(guard: Guard) -> None:
    alice = guard.open()
    carol = guard.open(thread_id=alice.thread_id)
    assert guard.stops(carol, str(alice.thread_id))
    assert not guard.stops(alice, str(alice.thread_id))
    for context in (alice, carol):
        guard.forget(context)
    mallory = guard.open(thread_id=alice.thread_id)
    assert guard.stops(mallory, str(alice.thread_id))


def test_only_so_many_are_remembered(guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outgoing_module, "REMEMBERED_IDENTIFIERS", 6)
    monkeypatch.setattr(outgoing_module, "REMEMBERED_CANARIES", 3)
    carol = guard.open()
    past = [guard.open() for _ in range(3)]
    for number, context in enumerate(past):
        guard.add_canary(context, f"{CANARY}{number}")
        guard.forget(context)
    assert all(guard.stops(carol, str(context.run_id)) for context in past)
    assert guard.stops(carol, str(past[0].thread_id))  # asked for, so it is the latest now
    guard.add_canary(carol, CANARY[::-1])
    guard.forget(guard.open())
    assert len(guard._remembered) == 6
    assert guard.stops(carol, str(past[0].thread_id))
    assert not guard.stops(carol, str(past[1].thread_id))
    assert not guard.stops(carol, f"{CANARY}0")
    assert guard.stops(carol, f"{CANARY}1")


def test_the_bounds_are_as_promised() -> None:
    assert outgoing_module.REMEMBERED_IDENTIFIERS == 10_000


def test_odd_datasets_are_none(guard: Guard) -> None:
    guard.open(agent_context={"attached_datasets": ("", "no id", 7)})
    assert not guard.stops(guard.open(), "no id")


def test_an_honest_load_is_never_stopped_and_a_planted_id_always(guard: Guard) -> None:
    contexts = [guard.open() for _ in range(40)]
    foreign = guard.open()

    def work(context: UserExecutionContext) -> int:
        stopped = 0
        chance = random.Random(context.run_id.int if context.run_id else 0)
        for number in range(100):
            child = context.child("agent.data")
            guard.learn(child)
            own: list[UUID | None] = [context.thread_id, child.context_id, child.request_id]
            guard.check(child, {"data": [str(identifier) for identifier in own], "n": number})
            if chance.random() < 0.2:
                try:
                    guard.check(child, {"data": {"thread": str(foreign.thread_id)}})
                except ContextIsolationError:
                    stopped += 1
                else:
                    raise AssertionError("let through")
            guard.forget(child)
        guard.forget(context)
        return stopped

    with ThreadPoolExecutor(8) as pool:
        stopped = sum(pool.map(work, contexts))
    assert stopped == len(guard.breaches) > 0
    guard.forget(foreign)
    assert not guard._owners
    assert not guard._more_claims
