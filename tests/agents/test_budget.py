"""What models cost: reserved before each call, counted after, and a clear end when it is used up."""

import asyncio
from decimal import Decimal

import pytest
from pydantic_ai.models.function import FunctionModel

from agents.engine_factory import ExecutionEngineFactory
from agents.llm.offline import offline_model
from agents.models import Run
from agents.registry import AgentRegistry
from contexts.database import call_in_thread
from contexts.manager import get_context_manager
from contexts.models import QuotaReservation, QuotaUsage, Tier, TierLimit
from contexts.quotas import use_quota
from contexts.selectors import standing_of
from tests.agents.running import ask, cancel, execute, upload
from tests.factories import make_cast

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def alice():
    return make_cast().alice


def limit(resource, amount):
    TierLimit.objects.filter(tier__slug="enterprise", resource=resource).update(limit=amount)


def used(user, resource):
    counter = QuotaUsage.objects.filter(user=user, resource=resource).first()
    return (counter.used, counter.reserved) if counter else (0, 0)


def use(user, amounts):
    use_quota(standing_of(user.id), amounts)


class Paid:
    """The offline analysts under the name of a model with a list price, each call of which is noted."""

    def __init__(self, name="gpt-4o", *, thought=""):
        self.name = name
        self.thought = thought
        self.lengths = []

    def __call__(self, specification, context):
        analyst = offline_model(specification.name)

        async def stream(messages, info):
            self.lengths.append(info.model_settings["max_tokens"])
            if self.thought and info.output_tools:
                yield self.thought
            async for piece in analyst.stream_function(messages, info):
                yield piece

        return FunctionModel(stream_function=stream, model_name=self.name)


def engines(paid, fallback=None):
    registry = AgentRegistry(choose_model=paid, choose_fallback=lambda *key: fallback and fallback(*key))
    return ExecutionEngineFactory(manager=get_context_manager(), registry=registry)


async def answer(user, recorder, paid, *, fallback=None, text="Where does our AI spend go?"):
    run_id = await call_in_thread(ask, user, text)
    await execute(run_id, engines=engines(paid, fallback))
    return await call_in_thread(Run.objects.get, id=run_id), recorder.of(run_id)


async def test_what_the_models_used_is_counted_and_nothing_stays_reserved(alice, recorder, tmp_path):
    await call_in_thread(upload, alice, tmp_path)
    run, events = await answer(alice, recorder, Paid())
    assert events[-1].type == "agent_completed"
    tokens, cost = [await call_in_thread(used, alice, name) for name in ("tokens", "cost_usd")]
    assert tokens == (run.input_tokens + run.output_tokens, 0)
    assert cost == (run.cost_usd, 0)
    assert run.input_tokens > 100
    assert run.cost_usd > 0
    assert not await call_in_thread(QuotaReservation.objects.exists)


async def test_the_offline_analyst_costs_nothing(alice, recorder, tmp_path):
    await call_in_thread(upload, alice, tmp_path)
    run_id = await call_in_thread(ask, alice)
    await execute(run_id)
    assert await call_in_thread(used, alice, "tokens") == (0, 0)


@pytest.mark.mission_critical("P4")
async def test_a_run_at_its_limit_ends_with_what_it_found_and_never_passes_it(alice, recorder, tmp_path):
    await call_in_thread(upload, alice, tmp_path)
    await call_in_thread(limit, "tokens", 6_000)
    paid = Paid(thought="So much to think about. " * 180)
    run, events = await answer(alice, recorder, paid)
    assert events[-1].type == "agent_completed"
    text = events[-1].data["final_response"]
    assert text.startswith("**This answer ends early.** Of 6,000 tokens a day only ")
    assert "It is free again at" in text
    assert "gpt-4o" in text.partition("until then.")[2]
    tools = [event.data["tool_name"] for event in events if event.type == "tool_completed"]
    assert tools[:2] == ["list_datasets", "spend_breakdown"]
    assert len(paid.lengths) >= 2
    assert await call_in_thread(used, alice, "tokens") == (run.input_tokens + run.output_tokens, 0)
    assert 1_000 < run.input_tokens + run.output_tokens <= 6_000


async def test_with_nothing_left_the_first_call_is_not_made(alice, recorder):
    await call_in_thread(limit, "tokens", 10)
    paid = Paid()
    run, events = await answer(alice, recorder, paid)
    assert paid.lengths == []
    assert events[-1].data["final_response"].endswith("Nothing was found out until then.")
    assert run.input_tokens == 0


async def test_an_answer_becomes_shorter_before_it_is_refused(alice, recorder):
    await call_in_thread(limit, "tokens", 8_000)
    paid = Paid()
    await answer(alice, recorder, paid, text="hello")
    assert paid.lengths == [1_024]


async def test_money_counts_as_tokens_do(alice, recorder):
    await call_in_thread(limit, "cost_usd", Decimal("0.0001"))
    paid = Paid()
    _, events = await answer(alice, recorder, paid)
    assert paid.lengths == []
    assert "of model costs a month" in events[-1].data["final_response"]


async def test_past_the_soft_limit_the_cheaper_model_goes_on_and_the_user_is_told(alice, recorder):
    await call_in_thread(limit, "tokens", 20_000)
    await call_in_thread(use, alice, {"tokens": 16_500})
    paid, cheap = Paid(), Paid("gpt-4o-mini")
    _, events = await answer(alice, recorder, paid, fallback=cheap, text="hello")
    assert events[-1].type == "agent_completed"
    assert paid.lengths == []
    assert len(cheap.lengths) == 1
    thoughts = [event.data["text"] for event in events if event.type == "agent_thinking"]
    assert any("gpt-4o-mini, a cheaper model" in text for text in thoughts)


async def test_the_cheaper_model_goes_on_where_the_other_cannot_be_paid(alice, recorder):
    await call_in_thread(limit, "cost_usd", Decimal("0.02"))
    paid, cheap = Paid("gpt-4"), Paid("gpt-4o-mini")
    run, _ = await answer(alice, recorder, paid, fallback=cheap, text="hello")
    assert (paid.lengths, cheap.lengths) == ([], [8_192])
    assert run.cost_usd < Decimal("0.02")


async def test_the_offline_analyst_can_be_the_cheaper_model(alice, recorder, tmp_path):
    await call_in_thread(upload, alice, tmp_path)
    await call_in_thread(limit, "tokens", 100)

    def offline(specification, context):
        return offline_model(specification.name)

    run, events = await answer(alice, recorder, Paid(), fallback=offline)
    assert events[-1].type == "agent_completed"
    assert "ends early" not in events[-1].data["final_response"]
    assert run.input_tokens == 0


async def test_a_tiers_cheaper_model_is_used_where_the_installation_offers_it(alice, settings):
    settings.NETRA_MODEL, settings.NETRA_MODELS = "openai:gpt-4o", ("openai:gpt-4o-mini",)
    tier = Tier.objects.filter(slug="enterprise")
    await call_in_thread(tier.update, fallback_model="openai:gpt-4o-mini")
    standing = await call_in_thread(standing_of, alice.id)
    assert standing.preferences.chosen_fallback == "openai:gpt-4o-mini"
    await call_in_thread(tier.update, fallback_model="openai:gpt-9")
    standing = await call_in_thread(standing_of, alice.id)
    assert standing.preferences.chosen_fallback == ""


@pytest.mark.mission_critical("P4")
async def test_a_cancelled_call_is_counted_as_far_as_it_came(alice, recorder):
    reached = asyncio.Event()

    async def stream(messages, info):
        yield "It began to answer"
        reached.set()
        await asyncio.Event().wait()

    model = FunctionModel(stream_function=stream, model_name="gpt-4o")
    run_id = await call_in_thread(ask, alice)
    task = asyncio.create_task(execute(run_id, model))
    await reached.wait()
    assert (await call_in_thread(used, alice, "tokens"))[1] > 8_192
    await call_in_thread(cancel, alice, run_id)
    task.cancel()
    await task
    tokens, reserved = await call_in_thread(used, alice, "tokens")
    assert tokens > 0
    assert reserved == 0
    assert await call_in_thread(used, alice, "agent_runs") == (1, 0)


async def test_what_a_failing_run_used_is_kept(alice, recorder):
    calls = []

    async def stream(messages, info):
        calls.append(1)
        yield "no JSON at all"

    run_id = await call_in_thread(ask, alice)
    await execute(run_id, FunctionModel(stream_function=stream, model_name="gpt-4o"))
    assert recorder.of(run_id)[-1].data["code"] == "model_failed"
    run = await call_in_thread(Run.objects.get, id=run_id)
    assert run.input_tokens > 0
    assert await call_in_thread(used, alice, "tokens") == (run.input_tokens + run.output_tokens, 0)


async def test_a_lower_limit_holds_for_a_run_under_way(alice, recorder):
    reached, go_on = asyncio.Event(), asyncio.Event()
    analyst = offline_model("triage")

    async def stream(messages, info):
        reached.set()
        await go_on.wait()
        async for piece in analyst.stream_function(messages, info):
            yield piece

    run_id = await call_in_thread(ask, alice)
    task = asyncio.create_task(
        execute(
            run_id, engines=engines(lambda *_: FunctionModel(stream_function=stream, model_name="gpt-4o"))
        )
    )
    await reached.wait()
    await call_in_thread(limit, "tokens", 1)
    go_on.set()
    await task
    assert recorder.of(run_id)[-1].type == "agent_completed"
    assert await call_in_thread(lambda: used(alice, "tokens")[1]) == 0
