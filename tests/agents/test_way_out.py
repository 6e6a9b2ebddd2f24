"""Nothing of another user leaves a run: what is planted is stopped before it is committed."""

import asyncio
import json
from uuid import uuid4

import pytest
from pydantic import BaseModel

from agents import tools
from agents.models import Dataset, Message, Run
from agents.tools.datasets import NoParameters
from agents.tools.definition import Tool
from contexts.database import call_in_thread
from contexts.exceptions import ContextIsolationError, QuarantinedError
from contexts.incidents import flush_incidents
from contexts.manager import UserContextManager, get_context_manager
from contexts.models import AuditEntry, ContextRecord, SecurityIncident
from tests.agents.running import (
    ask,
    begin_all,
    engines_with,
    execute,
    reporting,
    scripted,
    stored_events,
    upload,
)
from tests.factories import make_cast, make_tenant, make_user

PATIENCE_S = 20
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.mission_critical("P6")]


class Note(BaseModel):
    """A tool's result with something in it."""

    datasets: list[str] = []
    note: str = ""


@pytest.fixture
def cast(settings, tmp_path):
    settings.DATASET_DIR = tmp_path / "datasets"
    return make_cast()


@pytest.fixture
async def foreign_thread(cast, recorder):
    """Return the id of a conversation of carol's, whose run has ended."""
    run_id = await call_in_thread(ask, cast.carol, "hello")
    await execute(run_id)
    return str((await call_in_thread(Run.objects.get, id=run_id)).thread_id)


@pytest.fixture
def plant(monkeypatch):
    """Return what replaces a tool by a function of its environment."""

    def plant(name, function):
        tool = Tool(
            name=name,
            description="Planted.",
            parameters=NoParameters,
            function=lambda environment, parameters: function(environment),
        )
        monkeypatch.setitem(tools.TOOLS, name, tool)

    return plant


async def assert_quarantined(run_id, recorder, forbidden):
    """Check that a run ended as quarantined, once, and that nobody was told what is forbidden."""
    events = await call_in_thread(stored_events, run_id)
    ends = [event for event in events if event.type in {"agent_completed", "run_failed", "run_cancelled"}]
    assert [event.type for event in ends] == ["run_failed"]
    assert events[-1] == ends[0]
    assert (ends[0].data["code"], ends[0].data["retryable"]) == ("quarantined", False)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    own = [event.data for event in recorder.of(run_id)]
    deltas = [delta.text for delta in recorder.deltas if delta.run_id == run_id]
    audit = await call_in_thread(lambda: list(AuditEntry.objects.filter(run_id=run_id).values("details")))
    told = json.dumps([[event.data for event in events], own, deltas, audit])
    assert forbidden not in told
    assert not await call_in_thread(Message.objects.filter(run_id=run_id, author="assistant").exists)


async def the_incident():
    await flush_incidents()
    return await call_in_thread(SecurityIncident.objects.get)


async def test_a_tool_that_caches_across_users_stops_both_runs(cast, recorder, plant):
    cache = []

    def remember(environment):
        environment.context.state["cache"] = cache
        return Note()

    plant("list_datasets", remember)
    stuck = asyncio.Event()
    runs = [await call_in_thread(ask, user, "hello") for user in (cast.alice, cast.carol)]
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
        tasks.create_task(execute(runs[0], scripted(stuck=stuck)))
        await stuck.wait()
        await execute(runs[1], scripted())
        # alice's run was under way, and is ended too
    for run_id in runs:
        await assert_quarantined(run_id, recorder, "cache")
    incident = await the_incident()
    assert (incident.kind, incident.detector, incident.blocked) == ("shared_object", "on_write", True)


async def test_a_tools_result_with_a_foreign_id_reaches_neither_agent_nor_log(
    cast, recorder, foreign_thread, plant
):
    plant("draw_charts", lambda environment: Note(note=f"see thread {foreign_thread}"))
    run_id = await call_in_thread(ask, cast.alice)
    await execute(run_id, reporting("The agent went on.", tool="draw_charts"))
    await assert_quarantined(run_id, recorder, foreign_thread)
    assert not [delta for delta in recorder.deltas if delta.run_id == run_id]
    incident = await the_incident()
    assert (incident.kind, incident.detector) == ("foreign_identifier", "on_the_way_out")
    entry = await call_in_thread(AuditEntry.objects.get, run_id=run_id, details__tool="draw_charts")
    assert (entry.details["ok"], entry.details["error_code"]) == (False, "context_isolation")


async def test_an_event_with_a_foreign_thread_id_is_not_committed(cast, recorder, foreign_thread):
    run_id = await call_in_thread(ask, cast.alice)
    await execute(run_id, reporting("Done.", thought=f"This is like {foreign_thread.upper()}."))
    await assert_quarantined(run_id, recorder, foreign_thread.upper())
    await the_incident()


async def test_an_append_with_a_foreign_id_gets_no_number(cast, recorder, foreign_thread):
    (run_id,), (log,) = await begin_all(cast.alice, 1)
    data = {"step": 1, "text": f"As in {foreign_thread}."}
    with pytest.raises(ContextIsolationError):
        await log.append("agent_thinking", agent_name="triage", data=data)
    with pytest.raises(QuarantinedError):
        await log.append("agent_thinking", agent_name="triage", data={"step": 1, "text": "Fine."})
    assert [event.type for event in await call_in_thread(stored_events, run_id)] == ["run_queued"]
    await the_incident()


async def test_a_call_with_a_foreign_id_is_not_made(cast, recorder, foreign_thread, plant):
    made = []
    plant("draw_charts", lambda environment: made.append(1) or Note())
    run_id = await call_in_thread(ask, cast.alice)
    arguments = json.dumps({"dataset_id": foreign_thread})
    model = reporting("Done.", tool="draw_charts", arguments=arguments)
    await execute(run_id, model)
    await assert_quarantined(run_id, recorder, foreign_thread)
    assert made == []
    await the_incident()


async def test_an_answer_with_a_canary_is_not_told(cast, recorder):
    canary = f"canary-{uuid4().hex}"
    manager = get_context_manager()
    owner = manager.create_context(cast.carol.id, "free", tenant_id=cast.globex.id)
    manager.guard.add_canary(owner, canary)
    run_id = await call_in_thread(ask, cast.alice)
    await execute(run_id, scripted(reply=f"The word is {canary}."))
    await assert_quarantined(run_id, recorder, canary)
    incident = await the_incident()
    assert incident.kind == "canary"


async def test_an_id_streamed_in_two_halves_does_not_leave_at_all(
    cast, recorder, foreign_thread, monkeypatch
):
    monkeypatch.setattr("agents.delta_stream.DELTA_INTERVAL_SECONDS", 0.0)
    first, second = foreign_thread[:20], foreign_thread[20:]
    run_id = await call_in_thread(ask, cast.alice)
    await execute(run_id, reporting("The same as in ", first, second, " and more."))
    await assert_quarantined(run_id, recorder, first)
    sent = "".join(delta.text for delta in recorder.deltas if delta.run_id == run_id)
    assert sent == "The same as in "
    await the_incident()


async def test_a_long_answer_is_streamed_whole_and_in_order(cast, recorder, monkeypatch):
    monkeypatch.setattr("agents.delta_stream.DELTA_INTERVAL_SECONDS", 0.0)
    chunks = ["One ", "two-", "three", " x" * 40, "y" * 150, " end"]
    run_id = await call_in_thread(ask, cast.alice)
    await execute(run_id, reporting(*chunks))
    text = ""
    for delta in (delta for delta in recorder.deltas if delta.run_id == run_id):
        assert delta.offset == len(text)
        text += delta.text
    assert text == "".join(chunks)
    assert recorder.of(run_id)[-1].data["final_response"] == text


async def test_what_the_user_brought_up_may_be_spoken_of(cast, recorder, foreign_thread):
    run_id = await call_in_thread(ask, cast.alice, f"What is {foreign_thread}?")
    await execute(run_id, scripted(reply=f"I do not know {foreign_thread}."))
    assert recorder.of(run_id)[-1].type == "agent_completed"


async def test_runs_are_done_also_without_detection(cast, recorder):
    manager = UserContextManager(cross_contamination_detection=False)
    run_id = await call_in_thread(ask, cast.alice, "hello")
    await execute(run_id, manager=manager)
    assert recorder.of(run_id)[-1].type == "agent_completed"
    assert len(manager) == 0


@pytest.mark.parametrize("is_stopping", [False, True])
async def test_a_quarantined_run_ends_at_once_also_while_its_worker_stops(cast, recorder, is_stopping):
    run_id = await call_in_thread(ask, cast.alice)
    stuck, stopping = asyncio.Event(), asyncio.Event()
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
        task = tasks.create_task(execute(run_id, scripted(stuck=stuck), is_stopping=stopping.is_set))
        await stuck.wait()
        record = await call_in_thread(ContextRecord.objects.get, run_id=run_id)
        if is_stopping:
            stopping.set()
            task.cancel()
        await asyncio.to_thread(get_context_manager().quarantine, record.id, "on purpose")
    await assert_quarantined(run_id, recorder, "on purpose")


async def test_tool_calls_and_children_are_audited(cast, recorder, tmp_path):
    await call_in_thread(upload, cast.alice, tmp_path)
    run_id = await call_in_thread(ask, cast.alice, "Where does our AI spend go?")
    await execute(run_id)
    assert recorder.of(run_id)[-1].type == "agent_completed"
    entries = await call_in_thread(lambda: list(AuditEntry.objects.filter(run_id=run_id).order_by("id")))
    calls = [entry.details for entry in entries if entry.action == "tool_called"]
    completed = [event.data for event in recorder.of(run_id) if event.type == "tool_completed"]
    assert [call["tool"] for call in calls] == [data["tool_name"] for data in completed]
    assert all(call["ok"] and call["error_code"] is None for call in calls)
    assert "dataset_id" in calls[1]["params"]
    children = [entry.details["operation"] for entry in entries if entry.action == "context_child"]
    handed = [event.data["to_agent"] for event in recorder.of(run_id) if event.type == "agent_handoff"]
    assert children == ["agent.triage", *(f"agent.{name}" for name in handed)]


async def test_an_honest_load_raises_nothing(cast, recorder, tmp_path):
    def prepare():
        initech = make_tenant("initech", "enterprise")
        users = [cast.alice, cast.bob, make_user("erin", initech), make_user("frank", initech), cast.carol]
        for user in users[:3]:
            upload(user, tmp_path)
        return users

    users = await call_in_thread(prepare)
    breaches = get_context_manager().metrics().breaches
    texts = ["hello", "Where does our AI spend go?", "What could we save?", "What does gpt-4o cost us?"]
    engines = engines_with()
    runs = []
    for text in texts:
        asked = [await call_in_thread(ask, user, text) for user in users]
        await asyncio.gather(*(execute(run_id, engines=engines) for run_id in asked))
        runs += asked
    assert [recorder.of(run_id)[-1].type for run_id in runs] == ["agent_completed"] * 20
    await flush_incidents()
    assert not await call_in_thread(SecurityIncident.objects.exists)
    assert get_context_manager().metrics().breaches == breaches
    assert engines.metrics().created == engines.metrics().cleaned == 20
    assert len(get_context_manager()) == 0


async def test_an_id_that_a_colleague_put_into_data_stops_nobody(cast, recorder, tmp_path):
    bobs_run = await call_in_thread(ask, cast.bob, "hello")
    await execute(bobs_run)
    planted = await call_in_thread(upload, cast.bob, tmp_path)
    await call_in_thread(Dataset.objects.filter(id=planted).update, name=f"Costs {bobs_run}")
    run_id = await call_in_thread(ask, cast.alice, "hello")
    await execute(run_id)
    assert (await call_in_thread(stored_events, run_id))[-1].type == "agent_completed"
    await flush_incidents()
    assert not await call_in_thread(SecurityIncident.objects.exists)


@pytest.mark.parametrize("form", [str, lambda run_id: run_id.hex.upper()])
async def test_an_id_inside_a_log_stops_nobody(cast, recorder, tmp_path, form):
    bobs_run = await call_in_thread(ask, cast.bob, "hello")
    await execute(bobs_run)
    await call_in_thread(upload, cast.bob, tmp_path, model=form(bobs_run))
    run_id = await call_in_thread(ask, cast.alice)
    await execute(run_id)
    events = await call_in_thread(stored_events, run_id)
    completed = [event.data for event in events if event.type == "tool_completed"]
    assert form(bobs_run) in json.dumps(completed)
    assert events[-1].type == "agent_completed"
    await flush_incidents()
    assert not await call_in_thread(SecurityIncident.objects.exists)
