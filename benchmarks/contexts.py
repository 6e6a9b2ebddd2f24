"""What a user execution context costs: making, registering, keeping and closing it, and writing to it."""

import gc
import os
import time
import tracemalloc
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import median, quantiles
from typing import Any
from uuid import UUID, uuid4

import django
import psutil

RUNS = 7
WARM_UPS = 4
CONTEXTS = 10_000
WRITES = 20_000
SAMPLE = 1_000


@dataclass(frozen=True, kw_only=True)
class BareContext:
    """The baseline: a frozen dataclass with a random UUID, unchecked and unregistered."""

    user_id: UUID
    tenant_id: UUID
    context_id: UUID = field(default_factory=uuid4)
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))


def run() -> None:
    """Measure and print; asks no database."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "netra_site.settings")
    os.environ.setdefault("DEBUG", "1")
    os.environ.setdefault("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    django.setup()
    from contexts.context import UserExecutionContext
    from contexts.identifiers import new_id
    from contexts.manager import UserContextManager

    owner: dict[str, Any] = {"user_id": new_id(), "tenant_id": new_id()}
    metadata = {"attached_datasets": [str(new_id())], "question": {"language": "en"}}
    bare = "a bare frozen dataclass with a `uuid4`"

    def new_manager() -> UserContextManager:
        return UserContextManager(max_contexts_per_user=CONTEXTS, max_contexts=CONTEXTS)

    def making(**fields: Any) -> Callable[[], Callable[[], Any]]:
        def prepare() -> Callable[[], Any]:
            manager = new_manager()
            return lambda: manager.create_context(**owner, **fields)

        return prepare

    def writing(value: Callable[[], Any]) -> Callable[[], Callable[[], Any]]:
        def prepare() -> Callable[[], Any]:
            state = new_manager().create_context(**owner).state
            return lambda: state.__setitem__("value", value())

        return prepare

    def writing_bare() -> Callable[[], Any]:
        values: dict[str, Any] = {}
        return lambda: values.__setitem__("value", ["a", 1])

    # First, as what the others have freed would hide a leak.
    _print_leftovers(new_manager(), owner)
    _print_times(
        f"Making {CONTEXTS:,} contexts (targets: median under 50 µs, p99 under 1 ms)",
        CONTEXTS,
        {
            bare: lambda: lambda: BareContext(**owner),
            "`create_context`: validated and registered": making(),
            "`create_context` with `agent_context`": making(agent_context=metadata),
        },
    )
    _print_times(
        "Writing to a state, with the check for contamination (target: under 5 µs)",
        WRITES,
        {
            "a list of two into a bare dictionary": lambda: writing_bare(),
            "a string": writing(lambda: "a"),
            "a list of two": writing(lambda: ["a", 1]),
            "a dictionary of three, one a list": writing(lambda: {"a": 1, "b": 2, "c": [3]}),
        },
    )
    manager = new_manager()
    _print_memory(
        {
            bare: lambda: BareContext(**owner),
            "`UserExecutionContext` alone": lambda: UserExecutionContext(
                **owner, role="member", tier="free", operation="work"
            ),
            "the same with all that its manager keeps": lambda: manager.create_context(**owner),
        }
    )


def _print_times(title: str, count: int, rows: Mapping[str, Callable[[], Callable[[], Any]]]) -> None:
    print(f"\n### {title}\n")
    print("| | runs | median | min – max of the medians | p99 | ratio |")
    print("|---|---:|---:|---:|---:|---:|")
    seconds = {name: ([], []) for name in rows}  # type: dict[str, tuple[list[float], list[float]]]
    for _ in range(RUNS):
        for name, prepare in rows.items():
            times = _time_each(prepare(), count)
            seconds[name][0].append(median(times))
            seconds[name][1].append(quantiles(times, n=100)[98])
    baseline = median(next(iter(seconds.values()))[0])
    for name, (medians, tails) in seconds.items():
        middle = median(medians)
        print(
            f"| {name} | {RUNS} | {middle * 1e6:,.1f} µs | {min(medians) * 1e6:,.1f} – "
            f"{max(medians) * 1e6:,.1f} µs | {median(tails) * 1e6:,.1f} µs | {middle / baseline:,.1f} |"
        )


def _time_each(do: Callable[[], Any], count: int) -> list[float]:
    gc.collect()
    kept = []
    times = []
    for _ in range(count):
        started = time.perf_counter()
        made = do()
        times.append(time.perf_counter() - started)
        kept.append(made)
    return times


def _print_memory(rows: Mapping[str, Callable[[], Any]]) -> None:
    print("\n### Memory of a context (target: under 4 KiB)\n")
    print("| | bytes |")
    print("|---|---:|")
    for name, make in rows.items():
        make()
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        kept = [make() for _ in range(SAMPLE)]
        used = (tracemalloc.get_traced_memory()[0] - before) / len(kept)
        tracemalloc.stop()
        print(f"| {name} | {used:,.0f} |")


def _print_leftovers(manager: Any, owner: Mapping[str, Any]) -> None:
    from contexts.identifiers import new_id

    process = psutil.Process()
    sizes, alive = [], 0
    for round_number in range(WARM_UPS + RUNS):
        references = []
        for _ in range(CONTEXTS):
            context = manager.create_context(**owner, thread_id=new_id())
            context.state["rows"] = [1]
            references.append(weakref.ref(context))
            manager.cleanup_context_sync(context.context_id)
        del context
        gc.collect()
        alive += sum(reference() is not None for reference in references)
        if round_number >= WARM_UPS:  # until the bounded memory of lasting ids and the allocator's are full
            sizes.append(process.memory_info().rss)
    drift = (max(sizes) - min(sizes)) / min(sizes) * 100
    title = f"{CONTEXTS:,} contexts opened and closed, {RUNS} times over (targets: 0, within 1 %)"
    print(f"\n### {title}\n")
    print(
        f"{alive} objects left; resident memory {min(sizes) / 2**20:,.1f} MiB, within {drift:.2f} %, "
        f"after {WARM_UPS} times to warm up."
    )
