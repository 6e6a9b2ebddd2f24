"""The datasets that the tools of one run open: one at a time, each call on its own."""

import asyncio
import threading
from dataclasses import replace

import pytest
from pydantic import BaseModel

from agents import tools
from agents.models import Dataset
from agents.tools.datasets import NoParameters
from agents.tools.definition import Tool
from contexts.database import call_in_thread
from contexts.exceptions import ContextIsolationError, NotFoundError, QuarantinedError, ToolError
from contexts.manager import get_context_manager
from tests.agents.running import upload
from tests.agents.tool_team import ENDLESS, PATIENCE_SECONDS, cpu_used, make_team, wait_for
from tests.factories import make_cast

pytestmark = pytest.mark.django_db(transaction=True)


class Nothing(BaseModel):
    """An empty result."""


@pytest.fixture
def cast(settings, tmp_path):
    settings.DATASET_DIR = tmp_path / "datasets"
    return make_cast()


async def test_a_stop_between_two_queries_hits_the_second(cast, tmp_path, recorder, monkeypatch):
    team = await make_team(cast, tmp_path)
    between, go_on, ends = threading.Event(), threading.Event(), []

    def two_queries(environment, parameters):
        with environment.open(team.dataset_id) as session:
            session.fetch("SELECT 1")
            between.set()
            go_on.wait(PATIENCE_SECONDS)
            for _ in range(2):
                try:
                    ends.append(session.fetch("SELECT 2"))
                except ToolError as error:
                    ends.append(error.message)
        try:
            with environment.open(team.dataset_id) as session:
                ends.append(session.fetch("SELECT 3"))
        except ToolError as error:
            ends.append(error.message)
        return Nothing()

    tool = Tool(name="two", description="Asks.", parameters=NoParameters, function=two_queries)
    monkeypatch.setitem(tools.TOOLS, "two", tool)
    call = asyncio.create_task(team.call("two"))
    assert await call_in_thread(between.wait, PATIENCE_SECONDS)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    go_on.set()
    await wait_for(lambda: len(ends) == 3)
    assert ends == ["The analysis was stopped.", "The analysis was stopped.", "The call was stopped."]


async def test_stopping_a_call_that_waits_leaves_the_one_that_works_alone(
    cast, tmp_path, recorder, monkeypatch
):
    team = await make_team(cast, tmp_path)
    holds, go_on = threading.Event(), threading.Event()

    def hold(environment, parameters):
        with environment.open(team.dataset_id) as session:
            holds.set()
            go_on.wait(PATIENCE_SECONDS)
            session.fetch("SELECT 1")
        return Nothing()

    hurried = replace(tools.TOOLS["query_dataset"], name="hurried", timeout_seconds=0.2)
    monkeypatch.setitem(
        tools.TOOLS, "hold", Tool(name="hold", description="", parameters=NoParameters, function=hold)
    )
    monkeypatch.setitem(tools.TOOLS, "hurried", hurried)
    call = asyncio.create_task(team.call("hold"))
    assert await call_in_thread(holds.wait, PATIENCE_SECONDS)
    with pytest.raises(ToolError, match="longer"):
        await team.call("hurried", dataset_id=team.dataset_ids[1], sql="SELECT 1")
    go_on.set()
    assert await call == {}


async def test_a_run_has_one_dataset_open_at_a_time(cast, tmp_path, recorder):
    team = await make_team(cast, tmp_path)
    first, second = team.dataset_ids
    answers = await asyncio.gather(
        *(team.query("SELECT model FROM log", dataset_id) for dataset_id in (first, second, first, second))
    )
    assert [answer["rows"] for answer in answers] == [[["gpt-4o"]], [["gpt-4o-mini"]]] * 2
    await team.query("SELECT 1", first)
    before = team.process
    await team.query("SELECT 1", first)
    assert team.process == before
    await team.query("SELECT 1", second)
    await call_in_thread(before.wait, PATIENCE_SECONDS)
    last = team.process
    await get_context_manager().cleanup_context(team.context.context_id)
    await call_in_thread(last.wait, PATIENCE_SECONDS)


async def test_a_run_ends_what_its_tools_are_doing(cast, tmp_path, recorder):
    team = await make_team(cast, tmp_path)
    await team.query("SELECT 1")
    process = team.process
    call = asyncio.create_task(team.query(ENDLESS))
    await wait_for(lambda: sum(process.cpu_times()[:2]) > 0.3)
    team.dispatcher.close()
    with pytest.raises(ToolError, match="analysis was stopped"):
        await call
    await call_in_thread(process.wait, PATIENCE_SECONDS)


async def test_ids_in_any_used_log_may_be_spoken_of(cast, tmp_path, recorder):
    strangers = [get_context_manager().create_context(cast.alice.id, tenant_id=cast.acme.id) for _ in "abc"]
    shown, hidden, secret = (str(stranger.context_id) for stranger in strangers)

    def mention():
        return [upload(cast.carol, tmp_path, model=identifier) for identifier in (shown, hidden)]

    ids = await call_in_thread(mention)
    team = await make_team(cast, tmp_path)
    assert (await team.query("SELECT model FROM log", ids[0]))["rows"] == [[shown]]
    # The log that holds it was looked at, but is not open any more.
    await team.query("SELECT 1", ids[1])
    answer = await team.query(f"SELECT reverse('{hidden[::-1]}') AS said")
    assert answer["rows"] == [[hidden]]
    with pytest.raises((ContextIsolationError, QuarantinedError)):
        await team.query(f"SELECT reverse('{secret[::-1]}') AS said")


async def test_an_unknown_dataset_takes_no_process(cast, tmp_path, recorder):
    team = await make_team(cast, tmp_path)
    with pytest.raises(NotFoundError):
        await team.query("SELECT 1", str(cast.carol.id))
    assert team.dispatcher._sessions._process is None
    await call_in_thread(lambda: Dataset.objects.get(id=team.dataset_id).path.unlink())
    with pytest.raises(NotFoundError, match="gone"):
        await team.query("SELECT 1")
    assert team.dispatcher._sessions._process is None


@pytest.mark.parametrize(
    "sql", [ENDLESS, "SELECT max(length(lpad('x' || i, 500000000, 'y'))) FROM range(9) t(i)"]
)
async def test_what_runs_is_gone_as_soon_as_the_call_is(cast, tmp_path, recorder, sql):
    team = await make_team(cast, tmp_path)
    await team.query("SELECT 1")
    process = team.process
    before, _ = await call_in_thread(cpu_used, cast)
    started_at = sum(process.cpu_times()[:2])
    call = asyncio.create_task(team.query(sql))
    await wait_for(lambda: sum(process.cpu_times()[:2]) > started_at + 0.5)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await call_in_thread(process.wait, PATIENCE_SECONDS)
    used, _ = await call_in_thread(cpu_used, cast)
    assert used - before >= 0.4
    assert (await team.query("SELECT 1"))["rows"] == [[1]]
