"""What is told of tool calls: no secrets anywhere, and long values cut, kept in full besides."""

import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic_core import to_json

from agents import tools
from agents.cutting import Measure, cut
from agents.disclosure import EVENT_MEASURE, KEPT_MEASURE, disclose
from agents.event_log import FencedError
from agents.models import Run, RunEvent, ToolCall
from agents.tool_calls import keep_call, read_call
from agents.tools.definition import Parameters, Tool
from contexts.database import call_in_thread
from contexts.exceptions import ToolError
from contexts.factory import UserContextFactory, managed_user_context
from contexts.models import AuditEntry
from contexts.redaction import REDACTED
from contexts.scope import scope
from tests.agents.running import ask, begin, execute, log_of, reporting, stored_events
from tests.factories import make_cast

SECRETS = {
    "password": "hunter2-a",
    "api_key": "hunter2-b",
    "key": "hunter2-c",
    "note": "Authorization: Bearer hunter2-d",
    "text": "use sk-ant-hunter2-e2e2e2e2 or password=hunter2-f",
    "nested": [{"client_secret": {"x": "hunter2-g"}}, "postgres://me:hunter2-h@db/x"],
}


class Anything(Parameters):
    """Parameters with whatever a model may write."""

    values: dict[str, Any]


class Found(BaseModel):
    """A result with whatever a tool may find."""

    values: Any


@pytest.fixture
def cast(settings: Any, tmp_path: Any, transactional_db: None) -> Any:
    settings.DATASET_DIR = tmp_path / "datasets"
    return make_cast()


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what replaces the tool `draw_charts` by a function of its parameters' values."""

    def plant(function: Any) -> None:
        tool = Tool(
            name="draw_charts",
            description="Planted.",
            parameters=Anything,
            function=lambda environment, parameters: function(parameters.values),
        )
        monkeypatch.setitem(tools.TOOLS, "draw_charts", tool)

    return plant


async def run_tool(user: Any, values: Any, thought: str = "Let me look.") -> Any:
    """Have an agent of `user`'s run call the tool with `values`, and return the run's id."""
    run_id = await call_in_thread(ask, user)
    arguments = json.dumps({"values": values})
    await execute(run_id, reporting("Done.", tool="draw_charts", arguments=arguments, thought=thought))
    return run_id


async def data_of(run_id: Any, event_type: str) -> dict[str, Any]:
    """Return the data of the run's last event of a type that is about the tool or none."""
    events = await call_in_thread(stored_events, run_id)
    found = [event.data for event in events if event.type == event_type]
    return next(data for data in reversed(found) if data.get("tool_name", "draw_charts") == "draw_charts")


def everything_kept(run_id: Any) -> str:
    rows = [
        list(RunEvent.objects.filter(run_id=run_id).values_list("data", flat=True)),
        list(ToolCall.objects.filter(run_id=run_id).values_list("params", "result", "error")),
        list(AuditEntry.objects.filter(run_id=run_id).values_list("details", flat=True)),
    ]
    assert all(rows)
    return json.dumps(rows)


def read(user: Any, run_id: Any, call_id: str) -> Any:
    with managed_user_context(UserContextFactory().for_request(user.id)) as context, scope(context):
        return read_call(context, run_id, call_id)


@pytest.mark.mission_critical("P8")
async def test_no_secret_of_a_call_is_kept_or_told_anywhere(
    cast: Any, recorder: Any, plant: Any, caplog: pytest.LogCaptureFixture
) -> None:
    got: list[Any] = []

    def find(values: Any) -> Found:
        got.append(values)
        if "fail" in values:
            raise ToolError(f"It failed: {values['text']}, {values['note']}")
        # Beside the secrets something long, so that all of it is kept in full, too.
        return Found(values={"found": SECRETS, "long": "x" * 10_000})

    plant(find)
    caplog.set_level(logging.DEBUG)
    values = SECRETS | {"long": "y" * 10_000}
    runs = [await run_tool(cast.alice, more | values, SECRETS["text"]) for more in ({}, {"fail": True})]
    # The tool itself, and the model, need what is there.
    assert got == [values, {"fail": True} | values]
    for run_id in runs:
        kept = await call_in_thread(everything_kept, run_id)
        told = json.dumps([event.data for event in recorder.of(run_id)])
        # `key` may name a group among results; among parameters it does not.
        for place in (kept.replace('"key": "hunter2-c"', ""), told.replace('"key": "hunter2-c"', "")):
            assert "hunter2" not in place
            assert REDACTED in place
        params = (await data_of(run_id, "tool_executing"))["params"]["values"]
        assert params["password"] == params["key"] == params["nested"][0]["client_secret"] == REDACTED
        thoughts = [event.data["text"] for event in recorder.of(run_id) if event.type == "agent_thinking"]
        assert any(REDACTED in thought for thought in thoughts)
    assert (await data_of(runs[1], "tool_completed"))["error"]["message"].startswith(
        "It failed: use [redacted]"
    )
    assert "hunter2" not in caplog.text


async def test_an_ordinary_call_is_told_whole_and_kept_nowhere_else(
    cast: Any, recorder: Any, plant: Any
) -> None:
    rows = [{"model": "gpt-4o", "input_tokens": number, "key": "a"} for number in range(200)]
    plant(lambda values: Found(values=rows))
    run_id = await run_tool(cast.alice, {"tokens": 5})
    executing, completed = [await data_of(run_id, name) for name in ("tool_executing", "tool_completed")]
    assert executing["params"] == {"values": {"tokens": 5}}
    assert completed["result"] == {"values": rows}
    assert "is_cut" not in executing.keys() | completed.keys()
    assert not await call_in_thread(ToolCall.objects.exists)
    record = await call_in_thread(read, cast.alice, run_id, "call-1")
    assert (record.params, record.result) == (executing["params"], completed["result"])


async def test_a_long_call_is_cut_and_kept_in_full_until_its_run_goes(
    cast: Any, recorder: Any, plant: Any
) -> None:
    rows = [{"text": f"{number}-" * 40} for number in range(1_000)]
    plant(lambda values: Found(values=rows))
    run_id = await run_tool(cast.alice, {"text": "z" * 5_000})
    executing, completed = [await data_of(run_id, name) for name in ("tool_executing", "tool_completed")]
    assert executing["is_cut"] is completed["is_cut"] is True
    assert executing["params"]["values"]["text"] == "z" * 4_000 + " … 1,000 more characters"
    assert completed["ok"] is True
    shown = completed["result"]["values"]
    assert shown[0]["text"].startswith("0-0-")
    assert shown[-1] == f"… {1_000 - len(shown) + 1} more items"
    assert len(json.dumps(completed)) < EVENT_MEASURE.size + 1_000
    record = await call_in_thread(read, cast.alice, run_id, "call-1")
    assert record.params == {"values": {"text": "z" * 5_000}}
    assert (record.ok, record.result) == (True, {"values": rows})
    await call_in_thread(lambda: Run.objects.get(id=run_id).thread.delete())
    assert not await call_in_thread(ToolCall.objects.exists)


@pytest.mark.mission_critical("P3")
async def test_an_overtaken_attempt_keeps_no_call(cast: Any, recorder: Any) -> None:
    run_id = await call_in_thread(ask, cast.alice)
    log = log_of(await call_in_thread(begin, run_id))
    await keep_call(log, call_id="c", tool_name="t", params={"a": 1})
    await call_in_thread(begin, run_id)
    with pytest.raises(FencedError):
        await keep_call(log, call_id="c", tool_name="t", params={"a": 2})
    assert (await call_in_thread(ToolCall.objects.get)).params == {"a": 1}


def test_huge_and_odd_values_are_bounded_and_say_so() -> None:
    huge = disclose({"rows": [["x" * 100] * 20 for _ in range(2_000)]})
    assert len(to_json(huge.told)) <= EVENT_MEASURE.size
    assert len(to_json(huge.kept)) <= KEPT_MEASURE.size
    assert "more items" in json.dumps(huge.told)
    assert "more characters" in json.dumps(huge.kept) or "more items" in json.dumps(huge.kept)
    assert len(to_json(disclose({"n" * 10**6: 1}).told)) <= EVENT_MEASURE.size
    deep: Any = 1
    for _ in range(1_000):
        deep = {"a": [deep]}
    assert "nested too deep" in json.dumps(disclose(deep).told)
    assert disclose({"a": "\0\ud800"}).told == {"a": "\ufffd\ufffd"}


JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=60),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=8), inner, max_size=8),
    max_leaves=60,
)


@given(JSON, st.integers(700, 3_000))
def test_what_is_cut_fits_and_what_fits_is_not_cut(data: Any, size: int) -> None:
    data = disclose(data).told
    fits = len(to_json(data)) <= size
    shortened = cut(data, Measure(size=size, text=60, items=8))
    assert (shortened == data) == fits
    assert fits or type(shortened) is type(data)
