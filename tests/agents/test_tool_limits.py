"""What tools may take of CPU and memory, and that they take no more."""

import asyncio
import json
import threading

import psutil
import pytest
from pydantic import BaseModel
from pydantic_ai.models.function import DeltaToolCall, FunctionModel

from agents import tools
from agents.models import RunEvent
from agents.state import Findings, TriageResult
from agents.tools.datasets import NoParameters
from agents.tools.definition import Tool
from contexts.database import call_in_thread
from contexts.exceptions import ToolError
from contexts.manager import get_context_manager
from contexts.models import QuotaEntry, QuotaOverride, QuotaReservation
from contexts.quotas import settle_quota
from tests.agents.running import ask, execute, stored_events, upload
from tests.agents.tool_team import ENDLESS, cpu_used, limit_cpu, make_team, wait_for
from tests.factories import make_cast

pytestmark = pytest.mark.django_db(transaction=True)

GIBIBYTE = 1 << 30
ONE_VALUE = "SELECT max(length(repeat('x', 100000000) || i)) FROM range(20) t(i)"


class Nothing(BaseModel):
    """An empty result."""


@pytest.fixture
def cast(settings, tmp_path):
    settings.DATASET_DIR = tmp_path / "datasets"
    return make_cast()


def asking(arguments, answer):
    """Return a model whose data agent asks the dataset once, and whose reporter answers."""

    async def stream(messages, info):
        names = {tool.name for tool in info.function_tools}
        if not info.output_tools:
            yield answer
        elif "query_dataset" not in names:
            triage = TriageResult(category="dataset_question", reason="Rows.", next_agents=["data"])
            yield {0: DeltaToolCall(name=info.output_tools[0].name, json_args=triage.model_dump_json())}
        elif any(part.part_kind == "tool-return" for message in messages for part in message.parts):
            findings = Findings(summary="Nothing.")
            yield {0: DeltaToolCall(name=info.output_tools[0].name, json_args=findings.model_dump_json())}
        else:
            yield {0: DeltaToolCall(name="query_dataset", json_args=arguments, tool_call_id="call-1")}

    return FunctionModel(stream_function=stream)


async def test_what_a_call_uses_is_counted_and_the_rest_kept_for_the_next(cast, tmp_path, recorder):
    team = await make_team(cast, tmp_path)
    imported, _ = await call_in_thread(cpu_used, cast)
    await team.query("SELECT count(DISTINCT hash(i)) FROM range(2000000) t(i)")
    used, reserved = await call_in_thread(cpu_used, cast)
    assert 0.02 < used - imported < 2
    assert used + reserved == pytest.approx(imported + 2)
    await team.query("SELECT 1")
    more, reserved = await call_in_thread(cpu_used, cast)
    assert more > used
    assert more + reserved == pytest.approx(used + 2)


async def test_a_runaway_query_is_cut_at_the_limit(cast, tmp_path, recorder):
    team = await make_team(cast, tmp_path, cpu_seconds=3)
    await team.query("SELECT 1")
    for sql in (ENDLESS, "SELECT 1"):
        with pytest.raises(ToolError, match="limit of 3 CPU seconds a day is used up"):
            await team.query(sql)
    used, reserved = await call_in_thread(cpu_used, cast)
    assert 2.9 <= used <= 4
    assert reserved == 0
    # Looking at what there is still works: nothing is answered without it.
    assert len((await team.call("list_datasets"))["datasets"]) == 2


async def test_python_code_is_counted_though_nobody_waits_for_it(cast, tmp_path, recorder, monkeypatch):
    team = await make_team(cast, tmp_path)
    ended = threading.Event()

    def spin(environment, parameters):
        try:
            while True:
                pass
        finally:
            ended.set()

    tool = Tool(
        name="spin", description="Spins.", parameters=NoParameters, function=spin, timeout_seconds=0.2
    )
    monkeypatch.setitem(tools.TOOLS, "spin", tool)
    with pytest.raises(ToolError, match="longer"):
        await team.call("spin")
    assert not ended.is_set()
    early, _ = await call_in_thread(cpu_used, cast)
    await wait_for(ended.is_set)
    await wait_for(lambda: cpu_used(cast)[0] > early)


async def test_a_run_whose_quota_was_given_back_stops_its_query(cast, tmp_path, recorder):
    team = await make_team(cast, tmp_path)
    reservation = await call_in_thread(QuotaReservation.objects.get, id=team.context.run_id)
    call = asyncio.create_task(team.query(ENDLESS))
    taken = QuotaEntry.objects.filter(resource="cpu_seconds", reservation_id=reservation.id)
    await wait_for(taken.exists)
    await call_in_thread(settle_quota, reservation, {})
    with pytest.raises(Exception, match="given back"):
        await call


async def test_the_state_of_a_run_keeps_within_the_members_memory(cast, tmp_path, recorder):
    team = await make_team(cast, tmp_path)
    child = get_context_manager().create_child(team.context, "agent.data")
    assert team.context.state.memory_limit == child.state.memory_limit == 256 << 20


@pytest.mark.parametrize(
    "sql", [ONE_VALUE, "SELECT string_agg(repeat('x', 1000000) || i) FROM range(2000) t(i)"]
)
async def test_a_run_goes_on_after_a_tool_that_needs_too_much_memory(cast, tmp_path, recorder, sql):
    dataset_id = await call_in_thread(upload, cast.carol, tmp_path)
    arguments = json.dumps({"dataset_id": dataset_id, "sql": sql})
    run_id = await call_in_thread(ask, cast.carol)
    before, peak, done = psutil.Process().memory_info().rss, [0], threading.Event()

    def watch():
        while not done.wait(0.002):
            peak[0] = max(peak[0], psutil.Process().memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        await execute(run_id, asking(arguments, "It was too much."))
    finally:
        done.set()
        watcher.join()
    events = await call_in_thread(stored_events, run_id)
    assert events[-1].type == "agent_completed"
    assert events[-1].data["final_response"] == "It was too much."
    assert "more memory" in _failed(events).data["error"]["message"]
    assert peak[0] < before + GIBIBYTE // 4


async def test_where_the_memory_holds_no_dataset_the_run_is_told_and_goes_on(cast, tmp_path, recorder):
    team = await make_team(cast, tmp_path)
    for memory in (0, 1000):
        override = await call_in_thread(
            QuotaOverride.objects.create,
            tenant=cast.globex,
            resource="memory_bytes",
            limit=memory,
            reason="A test.",
        )
        with pytest.raises(ToolError, match="more memory"):
            await team.query("SELECT 1")
        await call_in_thread(override.delete)
    assert (await team.query("SELECT 1"))["rows"] == [[1]]


async def test_a_run_goes_on_after_a_query_that_used_up_the_cpu(cast, tmp_path, recorder):
    dataset_id = await call_in_thread(upload, cast.carol, tmp_path)
    await call_in_thread(limit_cpu, cast, 1)
    arguments = json.dumps({"dataset_id": dataset_id, "sql": ENDLESS})
    run_id = await call_in_thread(ask, cast.carol)
    await execute(run_id, asking(arguments, "It took too long."))
    events = await call_in_thread(stored_events, run_id)
    assert events[-1].type == "agent_completed"
    assert "CPU seconds a day is used up" in _failed(events).data["error"]["message"]
    used, reserved = await call_in_thread(cpu_used, cast)
    assert 0.9 <= used <= 2
    assert reserved == 0


def _failed(events: list[RunEvent]) -> RunEvent:
    (failed,) = [event for event in events if event.type == "tool_completed" and not event.data["ok"]]
    return failed
