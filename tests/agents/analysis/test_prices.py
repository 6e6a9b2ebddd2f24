from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from genai_prices import Usage, calc_price
from genai_prices.data_snapshot import get_snapshot
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.analysis.prices import ExactCost, Tokens, find_prices

pytestmark = pytest.mark.unit

MOMENT = datetime(2026, 11, 15, tzinfo=UTC)


def token_priced_models() -> list[tuple[str, str]]:
    found = []
    for provider in get_snapshot().providers:
        for model in provider.models:
            try:
                prices = find_prices(model.id, provider.id, priced_at=MOMENT)
                calc_price(Usage(input_tokens=1), model.id, provider_id=provider.id)
            except LookupError:
                continue
            if prices.provider == provider.id:
                found.append((provider.id, model.id))
    return found


MODELS = token_priced_models()
TIERED = [pair for pair in MODELS if find_prices(pair[1], pair[0], priced_at=MOMENT).thresholds]


@st.composite
def usages(draw):
    provider, model = draw(st.sampled_from(draw(st.sampled_from([MODELS, TIERED]))))
    limits = sorted(find_prices(model, provider, priced_at=MOMENT).thresholds) or [1000]
    near = st.builds(lambda limit, step: max(limit + step, 0), st.sampled_from(limits), st.integers(-1, 1))
    input_tokens = draw(st.one_of(st.integers(0, 2_000_000), near))
    cached = draw(st.integers(0, input_tokens))
    return provider, model, input_tokens, cached, draw(st.integers(0, 200_000)), draw(st.booleans())


def test_the_price_list_has_plain_and_tiered_models():
    assert len(MODELS) > 500
    assert len(TIERED) > 20


@settings(max_examples=500)
@given(usage=usages())
def test_prices_are_exactly_those_of_calc_price(usage):
    provider, model, input_tokens, cached, output_tokens, is_batch = usage
    prices = find_prices(model, provider, priced_at=MOMENT)
    above = max((limit for limit in prices.thresholds if input_tokens > limit), default=-1)

    cost = prices.cost(Tokens(1, input_tokens, cached, output_tokens), above=above, is_batch=is_batch)

    # Where the price depends on the time of day, the dearest counts.
    moments = [MOMENT + timedelta(minutes=30 * half) for half in range(48 if provider == "deepseek" else 1)]
    expected = max(
        (
            calc_price(
                Usage(input_tokens=input_tokens, cache_read_tokens=cached, output_tokens=output_tokens),
                model,
                provider_id=provider,
                genai_request_timestamp=moment,
                price_context={"processing": "batch"} if is_batch else None,
            )
            for moment in moments
        ),
        key=lambda price: price.total_price,
    )
    assert cost.total == expected.total_price
    assert cost.output == expected.output_price


def test_a_price_does_not_depend_on_the_hour_of_asking():
    names = ("deepseek-chat", "deepseek-reasoner", "deepseek-v4-flash")
    for name in names:
        found = {
            find_prices(name, "deepseek", priced_at=MOMENT + timedelta(minutes=30 * half)).standard
            for half in range(48)
        }
        assert len(found) == 1
    (prices,) = find_prices("deepseek-chat", "deepseek", priced_at=MOMENT).standard
    assert (prices.input, prices.output) == (Decimal("0.27"), Decimal("1.1"))


def test_costs_of_many_requests_are_the_sum_of_each():
    prices = find_prices("gpt-4o", priced_at=MOMENT)
    each = [Tokens(1, 374, 0, 44), Tokens(1, 396, 100, 109), Tokens(1, 879, 512, 55)]

    together = prices.cost(Tokens(3, 374 + 396 + 879, 612, 208))

    assert together == sum((prices.cost(tokens) for tokens in each), ExactCost())


@pytest.mark.parametrize(
    ("name", "provider", "found"),
    [
        ("gpt-4o", None, ("openai", "gpt-4o")),
        ("GPT-4o", None, ("openai", "gpt-4o")),
        ("gpt-4o-2024-08-06", None, ("openai", "gpt-4o")),
        ("openai/gpt-4o", None, ("openai", "gpt-4o")),
        ("azure/gpt-4o-2024-08-06", None, ("azure", "gpt-4o")),
        ("azure/gpt-4o", "azure", ("azure", "gpt-4o")),
        ("gpt-4o", "azure", ("azure", "gpt-4o")),
        ("gpt-4o", "our gateway", ("openai", "gpt-4o")),
        ("anthropic/claude-3-5-sonnet-20241022", None, ("anthropic", "claude-3-5-sonnet")),
        ("vertex_ai/gemini-2.5-pro", None, ("google", "gemini-2.5-pro")),
        ("openrouter/openai/gpt-4o", None, ("openrouter", "openai/gpt-4o")),
    ],
)
def test_a_model_is_found_under_the_names_that_logs_use(name, provider, found):
    prices = find_prices(name, provider, priced_at=MOMENT)

    assert (prices.provider, prices.price_model) == found


@pytest.mark.parametrize(
    "name", ["bedrock/anthropic.claude-3-haiku-20240307-v1:0", "us.anthropic.claude-3-5-haiku-20241022-v1:0"]
)
def test_bedrock_names_are_found_at_aws(name):
    assert find_prices(name, priced_at=MOMENT).provider == "aws"


@pytest.mark.parametrize("name", ["our-own-model", "gpt-4o-our-finetune", "nobody/gpt-4o", "", "whisper-1"])
def test_a_model_without_a_token_price_is_never_guessed(name):
    with pytest.raises(LookupError):
        find_prices(name, priced_at=MOMENT)


def test_the_batch_price_is_listed_or_said_to_be_missing():
    listed = find_prices("gpt-4o", priced_at=MOMENT).describe()
    missing = find_prices("gpt-4o", "azure", priced_at=MOMENT).describe()

    assert (listed.batch_input_usd_per_million, listed.batch_output_usd_per_million) == (
        Decimal("1.25"),
        Decimal(5),
    )
    assert (missing.batch_input_usd_per_million, missing.batch_output_usd_per_million) == (None, None)
