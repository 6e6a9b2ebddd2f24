"""Runs whose worker is lost at any step: another goes on there, and does nothing twice."""

import asyncio
from collections import Counter

import pytest
from pydantic import BaseModel
from pydantic_ai.models.function import DeltaToolCall, FunctionModel

from agents import tools
from agents.admission import EndedRun, begin_run
from agents.execution import RunHandedBackError
from agents.models import Run, RunEvent, RunStep
from agents.state import Findings, TriageResult
from agents.tools import Tool
from agents.tools.definition import Parameters
from contexts.database import call_in_thread
from contexts.exceptions import ToolError
from contexts.factory import UserContextFactory
from contexts.models import QuotaUsage
from tests.agents.running import ask, begin, engines_with, execute, stored_events
from tests.factories import make_cast
from tests.waiting import eventually

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.mission_critical("P3")]

FINDINGS = Findings(summary="Counted.", highlights=["It is 3."])
TRIAGE = TriageResult(
    category="dataset_question", reason="It is about counting.", next_agents=["data", "reporting"]
)
STEPS = [
    *("model triage 0", "model data 0", "tool add call-0", "model data 1", "tool once call-1"),
    *("model data 2", "tool refuse call-2", "model data 3", "model reporting 0"),
]


class Number(Parameters):
    """What to count."""

    number: int


class Sum(BaseModel):
    """What was counted."""

    total: int


class Script:
    """A team whose every step counts itself, and of which one never ends."""

    def __init__(self, stuck_at: str | None = None) -> None:
        self.steps: list[str] = []
        self.stuck = asyncio.Event()
        self.released = asyncio.Event()
        self._stuck_at = stuck_at
        self._loop = asyncio.get_running_loop()

    async def step(self, name: str) -> None:
        self.steps.append(name)
        if name == self._stuck_at:
            self.stuck.set()
            await self.released.wait()

    def tool(self, environment, parameters):
        name = {1: "add", 2: "once", 3: "refuse"}[parameters.number]
        step = self.step(f"tool {name} {environment.call_id}")
        asyncio.run_coroutine_threadsafe(step, self._loop).result()
        if name == "refuse":
            raise ToolError("Not this one.")
        return Sum(total=parameters.number)

    def model(self) -> FunctionModel:
        async def stream(messages, info):
            agent = "reporting"
            if info.output_tools:
                agent = "triage" if "TriageResult" in str(info.output_tools[0]) else "data"
            asked = sum(message.kind == "response" for message in messages)
            await self.step(f"model {agent} {asked}")
            if agent == "reporting":
                yield "The answer "
                yield "is 3."
            elif agent == "triage":
                yield {0: DeltaToolCall(name=info.output_tools[0].name, json_args=TRIAGE.model_dump_json())}
            elif asked < 3:
                name = ("add", "once", "refuse")[asked]
                arguments = f'{{"number": {asked + 1}}}'
                yield f"Counting {asked}."
                yield {1: DeltaToolCall(name=name, json_args=arguments, tool_call_id=f"call-{asked}")}
            else:
                yield {0: DeltaToolCall(name=info.output_tools[0].name, json_args=FINDINGS.model_dump_json())}

        return FunctionModel(stream_function=stream)

    def install(self, monkeypatch) -> None:
        for name, repeatable in (("add", True), ("once", False), ("refuse", True)):
            tool = Tool(
                name=name,
                description="Counts.",
                parameters=Number,
                function=self.tool,
                is_repeatable=repeatable,
                needs_cpu=False,
            )
            monkeypatch.setitem(tools.TOOLS, name, tool)
        monkeypatch.setitem(tools._added, "data", ("add", "once", "refuse"))


@pytest.fixture
def alice():
    return make_cast().alice


def told(run_id):
    return [
        (event.type, event.agent_name, event.data.get("call_id") or event.data.get("text"))
        for event in stored_events(run_id)
    ]


async def lose(script, run_id):
    """Begin a run whose worker is not heard of any more from its stuck step on."""
    lost = asyncio.create_task(execute(run_id, script.model()))
    await script.stuck.wait()
    return lost


@pytest.mark.parametrize("stuck_at", STEPS)
async def test_a_run_goes_on_at_the_step_at_which_its_worker_was_lost(alice, recorder, monkeypatch, stuck_at):
    run_id = await call_in_thread(ask, alice)
    first = Script(stuck_at)
    first.install(monkeypatch)
    lost = await lose(first, run_id)
    before = await call_in_thread(told, run_id)
    second = Script()
    second.install(monkeypatch)
    await execute(run_id, second.model())

    done, cut_off = STEPS[: STEPS.index(stuck_at)], stuck_at
    assert first.steps == [*done, cut_off]
    is_unknown = cut_off == "tool once call-1"
    assert second.steps == STEPS[STEPS.index(stuck_at) + is_unknown :]
    events = await call_in_thread(stored_events, run_id)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    after = await call_in_thread(told, run_id)
    assert after[: len(before)] == before
    assert after[len(before)] == ("run_resumed", "triage", None)
    # Everything but the resumption is told as often as in a run that nothing happens to.
    assert max(Counter(after).values()) == 1
    assert after[-1][0] == "agent_completed"
    thoughts = [event.data["step"] for event in events if event.type == "agent_thinking"]
    assert thoughts == list(range(1, len(thoughts) + 1))
    ends = {event.data["call_id"]: event.data for event in events if event.type == "tool_completed"}
    assert ends["call-0"]["result"] == {"total": 1}
    assert ends["call-1"].get("error", {}).get("code") == ("outcome_unknown" if is_unknown else None)
    assert ends["call-2"]["error"]["code"] == "tool_failed"
    assert events[-1].data["final_response"] == "The answer is 3."

    # The one that was lost wakes up, and changes nothing.
    first.released.set()
    await lost
    assert await call_in_thread(told, run_id) == after
    assert not await call_in_thread(RunStep.objects.exists)
    usage = await call_in_thread(lambda: {row.resource: row for row in QuotaUsage.objects.filter(user=alice)})
    assert all(row.reserved == 0 for row in usage.values())
    assert usage["agent_runs"].used == 1


async def test_a_run_can_come_back_to_the_worker_that_was_thought_dead(alice, recorder, monkeypatch):
    run_id = await call_in_thread(ask, alice)
    script = Script("model data 1")
    script.install(monkeypatch)
    engines = engines_with(script.model())
    asleep = asyncio.create_task(execute(run_id, engines=engines))
    await script.stuck.wait()
    again = asyncio.create_task(execute(run_id, engines=engines))
    await eventually(lambda: script.steps.count("model data 1") == 2)
    await asleep  # while the second attempt waits in the same step
    script.released.set()
    await again
    events = await call_in_thread(stored_events, run_id)
    assert events[-1].type == "agent_completed"
    assert [event.seq for event in events] == list(range(1, len(events) + 1))


async def test_what_the_lost_attempt_used_is_paid_once_and_told_in_the_end(alice, recorder, monkeypatch):
    plain = Script()
    plain.install(monkeypatch)
    undisturbed = await call_in_thread(ask, alice)
    await execute(undisturbed, plain.model())
    run_id = await call_in_thread(ask, alice)
    first = Script("model reporting 0")
    first.install(monkeypatch)
    lost = await lose(first, run_id)
    second = Script()
    second.install(monkeypatch)
    await execute(run_id, second.model())
    whole, resumed = await call_in_thread(lambda: [Run.objects.get(id=key) for key in (undisturbed, run_id)])
    assert resumed.input_tokens == pytest.approx(whole.input_tokens, rel=0.05)
    assert resumed.output_tokens == whole.output_tokens
    first.released.set()
    await lost
    tokens = await call_in_thread(QuotaUsage.objects.get, user=alice, resource="tokens")
    told_tokens = sum(run.input_tokens + run.output_tokens for run in (whole, resumed))
    assert (tokens.used, tokens.reserved) == (told_tokens, 0)


async def test_a_run_that_is_lost_three_times_fails_and_can_be_asked_again(alice, recorder, monkeypatch):
    run_id = await call_in_thread(ask, alice)
    lost = []
    for _ in range(3):
        script = Script("model data 0")
        script.install(monkeypatch)
        lost.append((script, await lose(script, run_id)))
    await execute(run_id, Script().model())
    last = (await call_in_thread(stored_events, run_id))[-1]
    assert (last.type, last.data["code"], last.data["retryable"]) == ("run_failed", "worker_lost", True)
    for script, task in lost:
        script.released.set()
        await task
    assert (await call_in_thread(stored_events, run_id))[-1].seq == last.seq


async def test_a_run_that_is_handed_back_ends_its_step_and_is_no_loss(alice, recorder, monkeypatch):
    """A worker that is told to stop begins no further step, and tells no end of what it interrupts."""
    run_id = await call_in_thread(ask, alice)
    for stuck_at in ("model data 0", "tool add call-0", "model data 1", "model data 3"):
        script = Script(stuck_at)
        script.install(monkeypatch)
        engines = engines_with(script.model())
        working = asyncio.create_task(execute(run_id, engines=engines))
        await script.stuck.wait()
        engines.hand_back()
        script.released.set()
        with pytest.raises(RunHandedBackError):
            await working
        assert script.steps[-1] == stuck_at
    run = await call_in_thread(Run.objects.get, id=run_id)
    assert (run.attempt, run.hand_backs, run.status) == (4, 4, "running")
    script = Script()
    script.install(monkeypatch)
    await execute(run_id, script.model())
    assert script.steps == ["model reporting 0"]
    events = await call_in_thread(stored_events, run_id)
    assert Counter(event.type for event in events)["run_resumed"] == 4
    assert events[-1].type == "agent_completed"


async def test_a_worker_whose_database_was_away_takes_its_run_on_again_unless_another_has(alice, recorder):
    run_id = await call_in_thread(ask, alice)
    first = await call_in_thread(begin, run_id)
    ids = {"user_id": first.context.user_id, "tenant_id": first.context.tenant_id}
    again = await call_in_thread(begin_run, run_id, UserContextFactory(), **ids, given_back=1)
    assert (again.attempt, (await call_in_thread(Run.objects.get, id=run_id)).hand_backs) == (2, 1)
    late = await call_in_thread(begin_run, run_id, UserContextFactory(), **ids, given_back=1)
    assert late == EndedRun(event=None)
    run = await call_in_thread(Run.objects.get, id=run_id)
    assert (run.attempt, run.hand_backs, run.status) == (2, 1, "running")


async def test_a_call_that_is_interrupted_for_a_hand_back_is_not_told_to_have_ended(
    alice, recorder, monkeypatch
):
    run_id = await call_in_thread(ask, alice)
    script = Script("tool add call-0")
    script.install(monkeypatch)
    working = asyncio.create_task(execute(run_id, script.model(), is_stopping=lambda: True))
    await script.stuck.wait()
    working.cancel()
    with pytest.raises(RunHandedBackError):
        await working
    script.released.set()
    again = Script()
    again.install(monkeypatch)
    await execute(run_id, again.model())
    events = await call_in_thread(
        lambda: list(RunEvent.objects.filter(run_id=run_id, data__call_id="call-0"))
    )
    assert [(event.type, event.data.get("ok")) for event in events] == [
        ("tool_executing", None),
        ("tool_completed", True),
    ]
