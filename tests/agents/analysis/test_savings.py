import json
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.analysis import savings_plan
from contexts.exceptions import InvalidRequestError

pytestmark = pytest.mark.unit


def by_kind(plan):
    return {option.kind: option for option in plan.options}


def test_an_ideal_cache_of_the_mooncake_trace(open_real_log, dataset_id, priced_at):
    session = open_real_log("mooncake_conversation_trace.jsonl")

    plan = savings_plan(session, dataset_id, priced_at=priced_at)

    caching = by_kind(plan)["prompt_caching"]
    assert caching.affected_tokens == 54_098_411
    assert round(caching.saving_usd, 2) == Decimal("67.62")
    assert round(plan.baseline_cost.total_usd, 2) == Decimal("403.21")
    assert plan.caching.basis == "prefix_hashes"
    assert round(plan.caching.cacheable_share, 3) == 0.374


def test_the_conversation_trace_in_batch(open_real_log, dataset_id, priced_at):
    session = open_real_log("azure_llm_trace_2023_conv.csv")

    plan = savings_plan(session, dataset_id, priced_at=priced_at)

    batch = by_kind(plan)["batch"]
    assert round(batch.saving_usd, 2) == Decimal("24.20")
    assert any("50 % of the requests" in assumption for assumption in batch.assumptions)
    assert round(plan.batch.full_saving_usd, 2) == Decimal("48.40")
    assert [option.kind for option in plan.unavailable] == ["prompt_caching"]
    assert plan.caching.basis == "unknown"
    assert plan.caching.possible_saving_usd is None


def test_options_are_ranked_and_each_is_something_to_act_on(open_real_log, dataset_id, priced_at):
    plan = savings_plan(open_real_log("mooncake_conversation_trace.jsonl"), dataset_id, priced_at=priced_at)

    assert [option.rank for option in plan.options] == [1, 2, 3]
    savings = [option.saving_usd for option in plan.options]
    assert savings == sorted(savings, reverse=True)
    for option in plan.options:
        assert len(option.steps) >= 3
        assert option.assumptions
        assert option.formula
        assert option.monthly_saving_usd > option.saving_usd


def test_combined_savings_count_no_dollar_twice(open_real_log, dataset_id, priced_at):
    plan = savings_plan(open_real_log("mooncake_conversation_trace.jsonl"), dataset_id, priced_at=priced_at)

    combined = plan.combined
    assert [step.kind for step in combined.steps] == ["cheaper_model", "prompt_caching", "batch"]
    before = plan.baseline_cost.total_usd
    for step in combined.steps:
        assert step.cost_before_usd == before
        before = step.cost_after_usd
    assert combined.cost_after_usd == before
    assert combined.saving_usd < sum(option.saving_usd for option in plan.options)
    assert combined.saving_usd >= max(option.saving_usd for option in plan.options)


def mooncake(*requests: tuple[int, list[int]]) -> str:
    return "\n".join(
        json.dumps(
            {"timestamp": 1000 * number, "input_length": tokens, "output_length": 0, "hash_ids": hashes}
        )
        for number, (tokens, hashes) in enumerate(requests)
    )


@pytest.mark.parametrize(
    ("requests", "tokens"),
    [
        ([(1024, [1, 2]), (1024, [1, 2])], 1024),
        ([(1024, [1, 2]), (1024, [1, 3])], 512),
        ([(1024, [1, 2]), (1024, [3, 2])], 0),
        ([(1024, [1, 2]), (700, [1, 2])], 700),
        ([(1024, [1, 1])], 0),
        ([(512, [1]), (512, [1]), (1536, [1, 4, 5]), (1100, [1, 4, 6])], 512 + 512 + 1024),
        ([(1536, [1, 2, 3]), (1536, [1, 9, 3])], 512),
    ],
)
def test_the_ideal_cache_by_hand(open_log, dataset_id, priced_at, requests, tokens):
    session = open_log(mooncake(*requests), assumed_model="gpt-4o")

    assert savings_plan(session, dataset_id, priced_at=priced_at).caching.cacheable_tokens == tokens


def cache_by_hand(requests: list[tuple[int, list[int]]]) -> int:
    seen: set[int] = set()
    total = 0
    for tokens, hashes in requests:
        blocks = 0
        while blocks < len(hashes) and hashes[blocks] in seen:
            blocks += 1
        seen.update(hashes)
        total += min(blocks * 512, tokens)
    return total


HASHED = st.lists(st.integers(0, 12), max_size=6, unique=True).flatmap(
    lambda hashes: st.tuples(st.integers(max(len(hashes) - 1, 0) * 512, len(hashes) * 512), st.just(hashes))
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requests=st.lists(HASHED, min_size=1, max_size=12))
def test_the_ideal_cache_equals_a_walk_through_the_log(open_log, dataset_id, priced_at, requests):
    session = open_log(mooncake(*requests), assumed_model="gpt-4o")

    assert savings_plan(session, dataset_id, priced_at=priced_at).caching.cacheable_tokens == cache_by_hand(
        requests
    )


def test_recorded_cached_tokens_show_what_caching_saves_already(open_log, dataset_id, priced_at):
    log = "model,input_tokens,cached_tokens,output_tokens\ngpt-4o,1000000,400000,0\n"

    plan = savings_plan(open_log(log), dataset_id, priced_at=priced_at)

    assert plan.caching.basis == "recorded"
    assert plan.caching.already_saved_usd == Decimal("0.5")
    assert "prompt_caching" in {option.kind for option in plan.unavailable}


def test_a_cheaper_model_takes_the_stated_share_of_short_requests(open_log, dataset_id, priced_at):
    rows = "\n".join(f"gpt-4o,{tokens},0" for tokens in (100, 200, 300, 400))
    session = open_log(f"model,input_tokens,output_tokens\n{rows}\n")

    option = by_kind(savings_plan(session, dataset_id, small_model_share=0.5, priced_at=priced_at))[
        "cheaper_model"
    ]

    assert (option.model, option.affected_requests, option.affected_tokens) == ("gpt-4o-mini", 2, 300)
    assert option.saving_usd == Decimal(300) * (Decimal("2.5") - Decimal("0.15")) / 10**6


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_batch_saves_in_proportion_to_what_may_wait(open_log, dataset_id, priced_at, share):
    session = open_log("model,input_tokens,output_tokens\ngpt-4o,1000000,100000\n")

    plan = savings_plan(session, dataset_id, batch_share=share, priced_at=priced_at)

    assert plan.batch.full_saving_usd == Decimal("1.75")
    assert plan.batch.saving_usd == Decimal("1.75") * Decimal(str(share))
    assert ("batch" in by_kind(plan)) is (share > 0)


def test_models_without_siblings_or_batch_prices_get_reasons_instead_of_figures(
    open_log, dataset_id, priced_at
):
    session = open_log("model,provider,input_tokens,output_tokens\nphi-4-mini-instruct,azure,1000,10\n")

    plan = savings_plan(session, dataset_id, priced_at=priced_at)

    assert plan.options == ()
    assert {option.kind for option in plan.unavailable} == {"cheaper_model", "prompt_caching", "batch"}
    assert plan.batch is None
    assert plan.combined is None


def test_traffic_already_in_batch_is_not_saved_twice(open_log, dataset_id, priced_at):
    session = open_log("model,is_batch,input_tokens,output_tokens\ngpt-4o,true,1000000,0\n")

    plan = savings_plan(session, dataset_id, priced_at=priced_at)

    assert plan.batch is None
    assert plan.baseline_cost.total_usd == Decimal("1.25")


def test_only_requests_that_are_not_in_batch_yet_count_as_able_to_wait(open_log, dataset_id, priced_at):
    rows = "gpt-4o,true,1000,0\n" * 3 + "gpt-4o,false,1000,0\n" * 5
    session = open_log(f"model,is_batch,input_tokens,output_tokens\n{rows}")

    option = by_kind(savings_plan(session, dataset_id, batch_share=1.0, priced_at=priced_at))["batch"]

    assert (option.affected_requests, option.affected_tokens) == (5, 5_000)
    assert option.saving_usd == 5 * 1000 * Decimal("1.25") / 10**6


@pytest.mark.parametrize(
    "shares", [{"batch_share": 1.5}, {"small_model_share": -0.1}, {"batch_share": float("nan")}]
)
def test_a_share_outside_0_to_1_is_refused(open_log, dataset_id, priced_at, shares):
    with pytest.raises(InvalidRequestError, match="between 0 and 1"):
        savings_plan(open_log("input_tokens,output_tokens\n1,1\n"), dataset_id, priced_at=priced_at, **shares)
