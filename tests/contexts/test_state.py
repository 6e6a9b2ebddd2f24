import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from contexts.exceptions import (
    ContextClosedError,
    ContextIsolationError,
    QuarantinedError,
    QuotaExceededError,
)
from contexts.isolation import OwnershipRegistry, size_of
from tests.contexts.test_context import make_context


def bound(registry, **fields):
    context = make_context(**fields)
    context.state.bind(registry, context)
    return context


@pytest.fixture
def breaches():
    return []


@pytest.fixture
def registry(breaches):
    return OwnershipRegistry(strict=True, report=breaches.append)


def test_values_are_kept_by_name():
    state = make_context().state
    state["a"], state["b"] = 1, [2]
    assert (state["a"], state.get("b"), state.get("c", 3)) == (1, [2], 3)
    assert (list(state), len(state), "a" in state, "c" in state) == (["a", "b"], 2, True, False)
    del state["a"]
    assert list(state) == ["b"]
    with pytest.raises(KeyError):
        state["a"]
    with pytest.raises(KeyError):
        del state["a"]


def test_names_may_be_deleted_while_they_are_looked_through(registry):
    state = bound(registry).state
    state["a"], state["b"] = 1, 2
    for name in state:
        del state[name]
    assert not len(state)


@pytest.mark.mission_critical("P6")
def test_what_another_users_context_owns_is_refused_and_changes_nothing(registry, breaches):
    alice, carol = bound(registry), bound(registry)
    alice.state["answers"] = shared = ["secret"]
    carol.state["cache"] = kept = ["mine"]
    for value in (shared, {"deep": [shared]}):
        with pytest.raises(ContextIsolationError):
            carol.state["cache"] = value
    assert carol.state["cache"] is kept
    assert [breach.contexts[0] for breach in breaches] == [carol, carol]
    assert registry.owner_of(shared) is alice
    assert registry.owner_of(kept) is carol


@pytest.mark.mission_critical("P6")
def test_a_permissive_registry_copies_instead(breaches):
    registry = OwnershipRegistry(strict=False, report=breaches.append)
    alice, carol = bound(registry), bound(registry)
    alice.state["answers"] = shared = ["secret"]
    carol.state["cache"] = shared
    shared.append("more")
    assert carol.state["cache"] == ["secret"]
    assert registry.owner_of(carol.state["cache"]) is carol
    assert [breach.blocked for breach in breaches] == [False]


@pytest.mark.parametrize("end", ["delete", "replace", "close"])
def test_what_is_let_go_may_be_anothers(registry, breaches, end):
    alice, carol = bound(registry), bound(registry)
    alice.state["answers"] = passed_on = []
    match end:
        case "delete":
            del alice.state["answers"]
        case "replace":
            alice.state["answers"] = None
        case "close":
            alice.state.close()
    assert registry.owner_of(passed_on) is None
    carol.state["answers"] = passed_on
    assert registry.owner_of(passed_on) is carol
    assert not breaches


def test_what_is_kept_twice_stays_owned_until_both_are_gone(registry):
    alice, carol = bound(registry), bound(registry)
    alice.state["a"] = alice.state["b"] = twice = []
    del alice.state["a"]
    with pytest.raises(ContextIsolationError):
        carol.state["c"] = twice
    assert registry.owner_of(twice) is alice
    alice.state["b"] = 0
    assert registry.owner_of(twice) is None


def test_the_memory_of_values_is_summed_by_name(registry):
    state = bound(registry).state
    assert state.memory_bytes == 0
    state["rows"] = ["x" * 1_000 + str(number) for number in range(10)]
    large = state.memory_bytes
    assert large > 10_000
    state["note"] = "n" * 500
    assert state.memory_bytes > large + 500
    state["rows"] = []
    assert 500 < state.memory_bytes < 1_000
    del state["note"]
    assert state.memory_bytes < 200
    state.close()
    assert state.memory_bytes == 0


def test_a_closed_state_keeps_nothing(registry):
    for context in (make_context(), bound(registry)):
        context.state["x"] = 1
        context.state.check_open()
        context.state.close()
        assert context.state.is_closed
        assert "x" not in context.state
        with pytest.raises(ContextClosedError):
            context.state["y"] = 2
        with pytest.raises(ContextClosedError):
            del context.state["x"]
        with pytest.raises(ContextClosedError):
            context.state.check_open()


@pytest.mark.mission_critical("P6")
def test_a_quarantined_state_is_read_but_not_written(registry):
    context = bound(registry)
    context.state["x"] = 1
    assert not context.state.is_quarantined
    assert context.state.quarantine("a test")
    assert not context.state.quarantine("another")
    assert context.state.is_quarantined
    assert context.state["x"] == 1
    with pytest.raises(QuarantinedError):
        context.state["y"] = 2
    with pytest.raises(QuarantinedError):
        del context.state["x"]
    with pytest.raises(QuarantinedError):
        context.state.check_open()


def test_a_state_is_bound_once_and_empty(registry):
    context = bound(registry)
    with pytest.raises(RuntimeError):
        context.state.bind(registry, context)
    closed = make_context()
    closed.state.close()
    with pytest.raises(ContextClosedError):
        closed.state.bind(registry, closed)
    used = make_context()
    used.state["x"] = []
    with pytest.raises(RuntimeError):
        used.state.bind(registry, used)


def test_threads_may_write_one_state_at_once(registry):
    context, other = bound(registry), bound(registry)
    start = threading.Barrier(8)

    def work(number):
        start.wait()
        for turn in range(200):
            context.state["shared name"] = [number, turn]
            context.state[f"own {number}"] = {turn}

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert registry.owner_of(context.state["shared name"]) is context
    assert all(registry.owner_of(context.state[f"own {number}"]) is context for number in range(8))
    values = [context.state[name] for name in context.state]
    context.state.close()
    for number, value in enumerate(values):
        other.state[str(number)] = value


def test_what_does_not_fit_is_refused_and_nothing_of_it_kept(registry):
    for state in (bound(registry).state, make_context().state):
        state.limit_memory(100_000, measure=size_of)
        state["rows"] = kept = ["x" * 1_000 + str(number) for number in range(10)]
        before = state.memory_bytes
        assert before > 10_000
        for name, value in (
            ("rows", [b"x" * 100_000]),
            ("text", "x" * 90_000),
            ("deep", {"a": {"b": bytearray(95_000)}}),
        ):
            with pytest.raises(QuotaExceededError) as caught:
                state[name] = value
            assert (caught.value.resource, caught.value.limit) == ("memory_bytes", 100_000)
        assert state["rows"] is kept
        assert list(state) == ["rows"]
        assert state.memory_bytes == before


def test_what_is_replaced_or_deleted_makes_room(registry):
    state = bound(registry).state
    state.limit_memory(100_000, measure=size_of)
    state["text"] = "x" * 90_000
    state["text"] = "y" * 95_000
    with pytest.raises(QuotaExceededError):
        state["more"] = "z" * 10_000
    del state["text"]
    state["more"] = "z" * 95_000


def test_a_refused_value_may_become_anothers(registry):
    alice, carol = bound(registry), bound(registry)
    alice.state.limit_memory(1_000, measure=size_of)
    refused = ["x" * 2_000]
    with pytest.raises(QuotaExceededError):
        alice.state["rows"] = refused
    carol.state["rows"] = refused
    assert registry.owner_of(refused) is carol


def test_many_small_things_are_all_measured(registry):
    state = bound(registry).state
    state.limit_memory(10_000_000, measure=size_of)
    with pytest.raises(QuotaExceededError):
        state["rows"] = [[b"x" * 1_000 + bytes([number % 256])] for number in range(12_000)]
