"""A worker that stood still and wakes up after another has taken its run over can change nothing of it."""

import asyncio
import threading

import pytest
from pydantic_ai.models.function import FunctionModel

from agents.cpu_budget import CpuBudget
from agents.dispatcher import UnifiedToolDispatcher
from agents.event_log import FencedError
from agents.journal import Journal
from agents.llm.offline import offline_model
from agents.models import Message, Run, RunEvent, RunStep, ToolCall
from agents.outcomes import RunOutcome, finish_run
from agents.tool_calls import keep_call
from agents.tools.work import ToolWork
from agents.usage import Usage
from contexts.database import call_in_thread
from contexts.metering import QuotaMeter
from contexts.models import QuotaEntry, QuotaReservation, QuotaUsage, TenantQuotaUsage
from contexts.quota_statements import Reservation
from contexts.quotas import draw_quota, extend_quota, fence_quota, settle_quota
from realtime.envelopes import Envelope
from realtime.feed import RunFeed, Verdict
from tests.agents.running import ask, begin, engines_with, execute, log_of
from tests.contexts.quota_books import imbalances
from tests.factories import make_cast
from tests.waiting import eventually

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.mission_critical("P3")]
TABLES = (
    *(Run, RunEvent, RunStep, ToolCall, Message),
    *(QuotaUsage, TenantQuotaUsage, QuotaReservation, QuotaEntry),
)


@pytest.fixture
async def run_id(recorder):
    """Return the id of a run of alice's that waits for a worker."""
    yield await call_in_thread(lambda: ask(make_cast().alice, "Hello"))
    assert await call_in_thread(imbalances) == {}


async def everything():
    """Return all that is kept of the run, and of its user's quotas."""

    def read():
        return {table.__name__: list(table.objects.order_by("pk").values()) for table in TABLES}

    return await call_in_thread(read)


class Attempt:
    """What a worker holds of one attempt at a run."""

    def __init__(self, begun):
        self.number = begun.attempt
        self.context = begun.context
        self.log = log_of(begun)
        self.journal = Journal(self.log)
        owner = {"tenant_id": begun.context.tenant_id, "user_id": begun.context.user_id}
        self.reservation = Reservation(id=begun.context.run_id, **owner, fence=begun.attempt)
        self.meter = QuotaMeter(self.reservation)
        self.dispatcher = UnifiedToolDispatcher.for_context(
            begun.context, self.log, meter=self.meter, journal=self.journal
        )

    async def tell(self, text):
        await self.log.append_thought(text, agent_name="triage")

    async def call_tool(self):
        await self.dispatcher.execute("list_datasets", {}, context=self.context, agent_name="data")

    async def call_cut_tool(self):
        await keep_call(self.log, call_id="c1", tool_name="list_datasets", params={})

    async def finish(self):
        outcome = RunOutcome.cancelled(by="user", usage=Usage(input_tokens=5))
        return await call_in_thread(finish_run, self.context, outcome, attempt=self.number)

    def send_piece(self, recorder):
        self.log.send_delta(offset=0, text="Hello")
        return Envelope.of_delta(recorder.deltas[-1])


async def test_every_write_of_an_attempt_that_was_taken_over_is_refused(run_id, recorder, caplog):
    old = Attempt(await call_in_thread(begin, run_id))
    await old.tell("Before")
    taken = await old.meter.take({"tokens": 50, "cost_usd": 1})
    # A tool that goes on in its thread though its call was interrupted.
    budget, running, goes_on = CpuBudget(old.meter, ToolWork()), threading.Event(), threading.Event()
    await budget.begin()
    late = asyncio.create_task(budget.run(lambda: running.set() or goes_on.wait(60)))
    await eventually(running.is_set)
    late.cancel()
    await asyncio.wait([late])
    await budget.count()

    new = Attempt(await call_in_thread(begin, run_id))
    await new.log.append("run_resumed", agent_name="triage", data={"attempt": new.number})
    feed = RunFeed()
    feed.watch(new.context.thread_id)
    verdicts = [feed.take(Envelope.of_event(event), now=0) for event in recorder.of(run_id)]
    assert verdicts == [Verdict.SEND] * 3

    before = await everything()
    refused = {
        "an event": lambda: old.tell("After"),
        "a step": lambda: old.journal.save("triage.model.0", "{}"),
        "a call in full": old.call_cut_tool,
        "a tool": old.call_tool,
        "tokens": lambda: old.meter.take({"tokens": 60}),
        "what is left": lambda: old.meter.take_up_to("cpu_seconds", 3),
        "a place": lambda: call_in_thread(extend_quota, old.reservation, {"concurrent_runs": 1}),
    }
    for what, write in refused.items():
        with pytest.raises(FencedError):
            await write()
        assert await everything() == before, what
    ineffective = {
        "a draw": lambda: call_in_thread(draw_quota, old.reservation, {"tokens": 1}),
        "a settlement": lambda: call_in_thread(settle_quota, old.reservation, {"agent_runs": 1}),
        "its fence": lambda: call_in_thread(fence_quota, old.reservation, old.number),
        "what a model used": lambda: old.meter.put_back(taken, {"tokens": 30}),
        "the end": old.finish,
    }
    for what, write in ineffective.items():
        assert not await write(), what
        assert await everything() == before, what
    goes_on.set()
    await eventually(lambda: "cpu_seconds" in caplog.text)
    assert await everything() == before
    assert feed.take(old.send_piece(recorder), now=0) is Verdict.SKIP

    # All of which the attempt that has the run may do.
    assert feed.take(new.send_piece(recorder), now=0) is Verdict.SEND
    await new.tell("Mine")
    await new.journal.save("triage.model.0", "{}")
    await new.call_tool()
    await new.meter.put_back(await new.meter.take({"tokens": 60}), {"tokens": 7})
    assert (await new.finish()).type == "run_cancelled"
    ended = await everything()
    assert [row["used"] for row in ended["QuotaUsage"] if row["resource"] == "tokens"] == [7]
    assert ended["QuotaReservation"] == []

    # Nor does the end open a way.
    await old.meter.put_back(taken, {"tokens": 30})
    with pytest.raises(FencedError):
        await old.tell("After the end")
    assert not await old.finish()
    assert await everything() == ended


async def test_a_worker_that_wakes_in_the_middle_of_a_model_call_leaves_the_run_alone(run_id, recorder):
    asked, awake = asyncio.Event(), asyncio.Event()
    analyst = offline_model("triage")

    async def stream(messages, info):
        asked.set()
        await awake.wait()
        async for piece in analyst.stream_function(messages, info):
            yield piece

    model = FunctionModel(stream_function=stream, model_name="gpt-4o")
    sleeping = asyncio.create_task(execute(run_id, engines=engines_with(model)))
    await asked.wait()
    new = Attempt(await call_in_thread(begin, run_id))
    before = await everything()
    awake.set()
    await sleeping
    assert await everything() == before
    # What the sleeper had set aside is free in the end.
    assert await new.finish()
    left = (await everything())["QuotaUsage"]
    assert {row["resource"]: row["reserved"] for row in left if row["reserved"]} == {}
