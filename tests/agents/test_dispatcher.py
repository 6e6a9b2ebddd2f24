import threading
from dataclasses import replace

import pytest
from pydantic import BaseModel

from agents import tools
from agents.dispatcher import UnifiedToolDispatcher
from agents.event_log import FencedError
from agents.models import RunEvent
from agents.tools.datasets import NoParameters
from agents.tools.definition import MEMBERS, Tool
from contexts.database import call_in_thread
from contexts.exceptions import (
    ContextIsolationError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    ToolError,
)
from contexts.manager import get_context_manager
from contexts.models import AuditEntry
from tests.agents.running import ask, begin, log_of, upload
from tests.factories import make_cast

pytestmark = pytest.mark.django_db(transaction=True)


class Nothing(BaseModel):
    """An empty result."""


@pytest.fixture
def cast(settings, tmp_path):
    settings.DATASET_DIR = tmp_path / "datasets"
    return make_cast()


@pytest.fixture
async def begun(cast, recorder):
    """Return alice's run as a worker has begun it."""
    return await call_in_thread(begin, await call_in_thread(ask, cast.alice, "Hello"))


@pytest.fixture
async def dispatcher(begun):
    return UnifiedToolDispatcher.for_context(begun.context, log_of(begun))


def last_event(run_id):
    return RunEvent.objects.filter(run_id=run_id).order_by("-seq")[0]


def last_call(run_id):
    return AuditEntry.objects.filter(run_id=run_id, action="tool_called").latest("id").details


async def test_a_tool_sees_the_tenants_data_and_no_other(cast, begun, dispatcher, tmp_path):
    mine = await call_in_thread(upload, cast.bob, tmp_path)
    foreign = await call_in_thread(upload, cast.carol, tmp_path)

    async def execute(tool, **params):
        return await dispatcher.execute(tool, params, context=begun.context, agent_name="data")

    listed = await execute("list_datasets")
    assert [card["id"] for card in listed["datasets"]] == [mine]
    result = await execute(
        "query_dataset", dataset_id=mine, sql="SELECT sum(input_tokens) AS tokens FROM log"
    )
    assert result["rows"] == [[1000]]
    for tool in ("describe_dataset", "spend_breakdown", "compare_models", "savings_plan", "draw_charts"):
        with pytest.raises(NotFoundError):
            await execute(tool, dataset_id=foreign)
    with pytest.raises(NotFoundError):
        await execute("query_dataset", dataset_id=foreign, sql="SELECT 1")


async def test_a_call_is_told_before_and_after(begun, dispatcher):
    with pytest.raises(NotFoundError):
        await dispatcher.execute(
            "describe_dataset", {"dataset_id": "nonsense"}, context=begun.context, agent_name="data"
        )
    event = await call_in_thread(last_event, begun.context.run_id)
    assert event.type == "tool_completed"
    assert event.data["ok"] is False
    assert event.data["error"]["code"] == "not_found"
    assert not dispatcher.evidence
    call = await call_in_thread(last_call, begun.context.run_id)
    assert (call["tool"], call["agent"], call["ok"]) == ("describe_dataset", "data", False)
    assert (call["error_code"], call["params"]) == ("not_found", {"dataset_id": "nonsense"})
    assert call["duration_ms"] == event.data["duration_ms"]


@pytest.mark.mission_critical("P6")
async def test_another_context_cannot_use_a_dispatcher(begun, dispatcher, cast):
    stranger = replace(begun.context, user_id=cast.carol.id)
    with pytest.raises(ContextIsolationError):
        await dispatcher.execute("list_datasets", {}, context=stranger, agent_name="data")


async def test_dispatchers_are_not_made_by_hand(begun):
    with pytest.raises(TypeError):
        UnifiedToolDispatcher(object(), begun.context, None)


async def test_wrong_parameters_and_unknown_tools_are_refused(begun, dispatcher):
    with pytest.raises(InvalidRequestError, match="sql"):
        await dispatcher.execute(
            "query_dataset", {"dataset_id": "x"}, context=begun.context, agent_name="data"
        )
    with pytest.raises(InvalidRequestError, match="extra"):
        await dispatcher.execute("list_datasets", {"extra": 1}, context=begun.context, agent_name="data")
    with pytest.raises(ToolError, match="no tool"):
        await dispatcher.execute("rm", {}, context=begun.context, agent_name="data")


async def test_roles_and_time_limits_hold(begun, dispatcher, monkeypatch):
    release = threading.Event()
    slow = Tool(
        name="slow",
        description="Waits.",
        parameters=NoParameters,
        function=lambda environment, parameters: release.wait(20) and Nothing(),
        timeout_seconds=0.05,
    )
    monkeypatch.setitem(tools.TOOLS, "slow", slow)
    monkeypatch.setitem(
        tools.TOOLS, "members_only", replace(slow, name="members_only", roles=MEMBERS - {"owner"})
    )
    with pytest.raises(PermissionDeniedError):
        await dispatcher.execute("members_only", {}, context=begun.context, agent_name="data")
    try:
        with pytest.raises(ToolError, match="longer"):
            await dispatcher.execute("slow", {}, context=begun.context, agent_name="data")
    finally:
        release.set()


async def test_open_datasets_are_closed_with_the_run(cast, begun, dispatcher, tmp_path):
    dataset_id = await call_in_thread(upload, cast.alice, tmp_path)
    await dispatcher.execute(
        "describe_dataset", {"dataset_id": dataset_id}, context=begun.context, agent_name="data"
    )
    await get_context_manager().cleanup_context(begun.context.context_id)
    with pytest.raises(Exception, match="ended"):
        await dispatcher.execute(
            "describe_dataset", {"dataset_id": dataset_id}, context=begun.context, agent_name="data"
        )


@pytest.mark.mission_critical("P3")
async def test_an_overtaken_attempt_calls_no_tool_and_audits_none(begun, dispatcher, monkeypatch):
    called = []
    tool = replace(tools.TOOLS["list_datasets"], function=lambda *_: called.append(1) or Nothing())
    monkeypatch.setitem(tools.TOOLS, "list_datasets", tool)
    await call_in_thread(begin, begun.context.run_id)
    with pytest.raises(FencedError):
        await dispatcher.execute("list_datasets", {}, context=begun.context, agent_name="data")
    assert called == []
    entries = AuditEntry.objects.filter(run_id=begun.context.run_id, action="tool_called")
    assert not await call_in_thread(entries.exists)
