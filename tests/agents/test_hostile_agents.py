"""Agents and tools that do the worst: each ends its own run at most, and says how."""

import asyncio
import contextlib
import json
import math
import threading
import time
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai.models.function import DeltaToolCall, FunctionModel

from agents import engine, execution, tools
from agents.loop_watch import LoopWatch
from agents.tools.definition import Parameters, Tool
from contexts.database import call_in_thread
from contexts.models import TierLimit
from tests.agents.running import ask, execute, reporting, stored_events
from tests.factories import make_cast

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.mission_critical("P3")]

FIVE = ["agent_started", "agent_thinking", "tool_executing", "tool_completed", "agent_completed"]
STALL_SECONDS = 0.3
AT_ONCE = 10
NESTED = '{"a":' * 10_000 + "1" + "}" * 10_000
may_end = threading.Event()
"""For code that takes no notice of its end, when the test is over."""
HUGE = "Nothing but words. " * 260_000


class Deed(Parameters):
    """What to do."""

    deed: str
    """Its name."""


class Result(BaseModel):
    """Anything."""

    value: Any


over: list[bool] = []
"""Not empty once a test is over; no event, within whose code nothing is ended."""


def raising(error: BaseException) -> Any:
    def function(*_: Any) -> Any:
        raise error

    return function


def loop(*_: Any) -> None:
    while True:
        pass


def block(*_: Any) -> None:
    time.sleep(1_000)


def swallow(*_: Any) -> None:
    while not over:
        with contextlib.suppress(BaseException):
            while not over:
                pass


def model_that(act: Any) -> FunctionModel:
    """Return a model whose triage streams what `act` yields or does."""

    async def stream(messages: Any, info: Any) -> Any:
        done = act(info)
        if asyncio.iscoroutine(done):
            done = await done
        yield done

    return FunctionModel(stream_function=stream)


def calling(name: str | None, arguments: str) -> Any:
    return lambda info: {0: DeltaToolCall(name=name or info.output_tools[0].name, json_args=arguments)}


async def hang(info: Any) -> None:
    await asyncio.Event().wait()


async def hang_and_swallow(info: Any) -> None:
    while not may_end.is_set():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0.05)


def replying(text: str) -> Any:
    return calling(None, json.dumps({"category": "small_talk", "reason": "It is said.", "reply": text}))


MODELS: dict[str, tuple[Any, str]] = {
    "raises": (raising(ZeroDivisionError()), "internal"),
    "raises SystemExit": (raising(SystemExit(1)), "model_failed"),
    "raises KeyboardInterrupt": (raising(KeyboardInterrupt()), "model_failed"),
    "raises GeneratorExit": (raising(GeneratorExit()), "internal"),
    "raises CancelledError": (raising(asyncio.CancelledError()), "internal"),
    "raises StopAsyncIteration": (raising(StopAsyncIteration()), "internal"),
    "raises MemoryError": (raising(MemoryError()), "out_of_memory"),
    "recurses": (lambda info: raising(RecursionError())(), "internal"),
    "loops": (loop, "stalled"),
    "blocks": (block, "stalled"),
    "swallows everything": (swallow, "stalled"),
    "sends broken JSON": (calling(None, '{"category": '), "model_failed"),
    "sends nested JSON": (calling(None, NESTED), "model_failed"),
    "calls an unknown tool": (calling("no_such_tool", "{}"), "model_failed"),
    "sends nothing": (lambda info: "", "model_failed"),
    "sends what is no part": (lambda info: 7, "model_failed"),
    "replies NUL": (replying("a\0b"), "completed"),
    "replies half a character": (replying("a\ud800b"), "model_failed"),
    "replies at length": (replying(HUGE), "completed"),
}
HANGING = {"hangs": hang, "hangs and swallows": hang_and_swallow}

DEEDS: dict[str, tuple[Any, str]] = {
    "raises": (raising(ZeroDivisionError()), "internal"),
    "raises SystemExit": (raising(SystemExit(1)), "internal"),
    "raises KeyboardInterrupt": (raising(KeyboardInterrupt()), "internal"),
    "raises GeneratorExit": (raising(GeneratorExit()), "internal"),
    "raises StopIteration": (raising(StopIteration()), "internal"),
    "raises MemoryError": (raising(MemoryError()), "completed"),
    "loops": (loop, "completed"),
    "swallows everything": (swallow, "completed"),
    "returns nothing": (lambda *_: None, "internal"),
    "returns NaN": (lambda *_: Result(value=[math.nan, math.inf]), "completed"),
    "returns what is no JSON": (lambda *_: Result(value=object()), "internal"),
    "returns itself": (lambda *_: Result(value=_endless()), "internal"),
    "returns NUL": (lambda *_: Result(value="a\0b"), "completed"),
    "returns half a character": (lambda *_: Result(value="a\ud800b"), "internal"),
    "returns much": (lambda *_: Result(value=HUGE), "completed"),
}


def _endless() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.fixture
def cast(settings: Any, tmp_path: Any) -> Any:
    settings.DATASET_DIR = tmp_path / "datasets"
    return make_cast()


async def end_of(user: Any, model: Any = None) -> tuple[str, list[str]]:
    """Carry a run out; return how it ended, and its events' types."""
    run_id = await call_in_thread(ask, user)
    await execute(run_id, model)
    events = await call_in_thread(stored_events, run_id)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    last = events[-1]
    ended = last.data["code"] if last.type == "run_failed" else last.type.removeprefix("agent_")
    return ended, [event.type for event in events]


async def ends_beside_neighbours(cast: Any, models: dict[str, Any]) -> dict[str, str]:
    """Carry out a run with each model, while runs of others in the same loop go on as if nothing were."""
    ends: dict[str, str] = {}
    names = list(models)
    async with LoopWatch(stall_seconds=STALL_SECONDS):
        for together in (names[first : first + AT_ONCE] for first in range(0, len(names), AT_ONCE)):
            *hostile, (beside, types) = await asyncio.gather(
                *(end_of(cast.alice, models[name]) for name in together), end_of(cast.bob)
            )
            ends |= {name: ended for name, (ended, _) in zip(together, hostile, strict=True)}
            assert beside == "completed"
            assert list(dict.fromkeys(name for name in types if name in FIVE)) == FIVE
    return ends


async def test_a_model_ends_its_own_run_at_most(cast, recorder, caplog):
    ends = await ends_beside_neighbours(cast, {name: model_that(act) for name, (act, _) in MODELS.items()})
    assert ends == {name: expected for name, (_, expected) in MODELS.items()}


async def test_a_model_that_hangs_is_left_when_the_time_is_over(cast, recorder, caplog, monkeypatch):
    limit = TierLimit.objects.filter(tier__slug="enterprise", resource="run_seconds")
    await call_in_thread(limit.update, limit=1)
    may_end.clear()
    for module in (engine, execution):
        monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.3)
    try:
        ends = await ends_beside_neighbours(cast, {name: model_that(act) for name, act in HANGING.items()})
    finally:
        may_end.set()
        left = [task for task in asyncio.all_tasks() if task.get_name().startswith("run-")]
        await asyncio.gather(*left, return_exceptions=True)
    assert len(left) == 1
    assert ends == dict.fromkeys(HANGING, "timeout")


@pytest.fixture(autouse=True)
def spinning_ends():
    """Have the tools end that swallow every error: they would take a CPU from all later tests."""
    over.clear()
    yield
    over.append(True)
    for thread in threading.enumerate():
        if thread.name == "tool" and thread is not threading.main_thread():
            thread.join(1)


async def test_a_tool_ends_its_own_run_at_most(cast, recorder, caplog, monkeypatch):
    def do(environment: Any, parameters: Deed) -> Any:
        return DEEDS[parameters.deed][0]()

    tool = Tool(name="do", description="Does it.", parameters=Deed, function=do, timeout_seconds=4)
    monkeypatch.setitem(tools.TOOLS, "do", tool)
    monkeypatch.setitem(tools._added, "reporting", ("do",))
    models = {name: reporting("So be it.", tool="do", arguments=json.dumps({"deed": name})) for name in DEEDS}
    ends = await ends_beside_neighbours(cast, models)
    assert ends == {name: expected for name, (_, expected) in DEEDS.items()}
