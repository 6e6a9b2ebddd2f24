import json
from decimal import Decimal

import pytest
from genai_prices import Usage, calc_price
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.analysis import spend_breakdown
from agents.analysis.money import format_usd, round_usd
from contexts.exceptions import NotFoundError

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("name", "requests", "input_tokens", "output_tokens", "input_usd", "output_usd", "total"),
    [
        ("azure_llm_trace_2023_conv.csv", 19_366, 22_361_870, 4_088_665, "$55.90", "$40.89", "$96.79"),
        ("azure_llm_trace_2023_code.csv", 8_819, 18_059_974, 245_896, "$45.15", "$2.46", "$47.61"),
        ("mooncake_conversation_trace.jsonl", 12_031, 144_793_823, 4_122_048, "$361.98", "$41.22", "$403.21"),
    ],
)
def test_real_traces_at_gpt_4o(
    open_real_log,
    dataset_id,
    priced_at,
    name,
    requests,
    input_tokens,
    output_tokens,
    input_usd,
    output_usd,
    total,
):
    spend = spend_breakdown(open_real_log(name), dataset_id, priced_at=priced_at)

    assert spend.traffic.requests == requests
    assert (spend.traffic.input_tokens, spend.traffic.output_tokens) == (input_tokens, output_tokens)
    assert format_usd(spend.cost.input_usd) == input_usd
    assert format_usd(spend.cost.output_usd) == output_usd
    assert format_usd(spend.cost.total_usd) == total
    assert (spend.assumed_model, spend.assumed_requests) == ("gpt-4o", requests)
    assert any("gpt-4o was assumed" in note for note in spend.notes)
    assert spend.period == "minute"
    assert abs(sum(period.cost_usd for period in spend.by_period) - spend.cost.total_usd) < Decimal("0.001")
    assert abs(sum(size.cost_usd for size in spend.by_size) - spend.cost.total_usd) < Decimal("0.001")
    assert sum(size.traffic.requests for size in spend.by_size) == requests
    assert spend.projection.is_extrapolated is True


MODELS = ["gpt-4o", "gpt-4o-mini", "claude-sonnet-4-5", "gemini-2.5-pro", "nobody-knows-me"]
REQUESTS = st.lists(
    st.tuples(
        st.sampled_from(MODELS),
        st.integers(0, 600_000),
        st.floats(0, 1),
        st.integers(0, 9_000),
        st.booleans(),
    ),
    min_size=1,
    max_size=20,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requests=REQUESTS)
def test_the_total_is_the_sum_of_calc_price_over_all_requests(open_log, dataset_id, priced_at, requests):
    rows = ["model,input_tokens,cached_tokens,output_tokens,is_batch"]
    expected, unpriced = Decimal(0), 0
    for model, input_tokens, share, output_tokens, is_batch in requests:
        cached = int(input_tokens * share)
        rows.append(f"{model},{input_tokens},{cached},{output_tokens},{is_batch}")
        if model == MODELS[-1]:
            unpriced += 1
            continue
        expected += calc_price(
            Usage(input_tokens=input_tokens, cache_read_tokens=cached, output_tokens=output_tokens),
            model,
            genai_request_timestamp=priced_at,
            price_context={"processing": "batch"} if is_batch else None,
        ).total_price

    spend = spend_breakdown(open_log("\n".join(rows)), dataset_id, priced_at=priced_at)

    assert spend.cost.total_usd == round_usd(expected)
    assert spend.priced_traffic.requests == len(requests) - unpriced
    assert sum(entry.traffic.requests for entry in spend.unpriced) == unpriced


LOG = """time,model,input_tokens,output_tokens,cost,team
2026-05-01T00:10:00Z,gpt-4o,1000,100,0.004,search
2026-05-01T05:20:00Z,gpt-4o-mini,2000,200,0.0005,search
2026-05-02T07:30:00Z,gpt-4o,300000,100,0.8,chat
2026-05-03T08:40:00Z,our-model,5000,50,,
"""


def test_a_breakdown_by_model_project_size_and_period(open_log, dataset_id, priced_at):
    spend = spend_breakdown(open_log(LOG), dataset_id, priced_at=priced_at)

    assert [(entry.model, entry.traffic.requests) for entry in spend.by_model] == [
        ("gpt-4o", 2),
        ("gpt-4o-mini", 1),
    ]
    assert spend.by_model[0].cost.total_usd == Decimal("0.754500")
    assert sum(entry.share for entry in spend.by_model) == pytest.approx(1, abs=1e-5)
    assert [(entry.project, entry.cost_usd) for entry in spend.by_project] == [
        ("chat", Decimal("0.751000")),
        ("search", Decimal("0.003920")),
    ]
    assert [(size.from_input_tokens, size.to_input_tokens) for size in spend.by_size] == [
        (0, 1_000),
        (1_001, 4_000),
        (128_001, None),
    ]
    assert [(period.label, period.cost_usd) for period in spend.by_period] == [
        ("2026-05-01 00:00", Decimal("0.003500")),
        ("2026-05-01 05:00", Decimal("0.000420")),
        ("2026-05-02 07:00", Decimal("0.751000")),
    ]
    assert spend.peak.label == "2026-05-02 07:00"
    assert spend.recorded_cost_usd == Decimal("0.804500")
    assert spend.trend is None


def test_a_model_without_a_price_is_reported_and_not_guessed(open_log, dataset_id, priced_at):
    spend = spend_breakdown(open_log(LOG), dataset_id, priced_at=priced_at)

    (unpriced,) = spend.unpriced
    assert (unpriced.name, unpriced.traffic.input_tokens) == ("our-model", 5_000)
    assert spend.traffic.requests - spend.priced_traffic.requests == 1


def test_without_a_model_nothing_is_priced_until_one_is_assumed(open_log, dataset_id, priced_at):
    session = open_log("input_tokens,output_tokens\n1000,10\n")

    nothing = spend_breakdown(session, dataset_id, priced_at=priced_at)
    assumed = spend_breakdown(session, dataset_id, assumed_model="gpt-4o", priced_at=priced_at)

    assert nothing.cost.total_usd == 0
    assert nothing.unpriced[0].name is None
    assert nothing.mean_cost_per_request_usd is None
    assert (nothing.projection, nothing.peak, nothing.period) == (None, None, None)
    assert assumed.cost.total_usd == Decimal("0.002600")
    assert assumed.assumed_requests == 1


def test_the_assumed_model_stands_in_only_where_the_log_names_none(open_log, dataset_id, priced_at):
    session = open_log(
        "model,input_tokens,output_tokens\ngpt-4o-mini,1000,0\n,1000,0\n", assumed_model="gpt-4o"
    )

    spend = spend_breakdown(session, dataset_id, priced_at=priced_at)

    assert [(entry.model, entry.is_assumed, entry.cost.total_usd) for entry in spend.by_model] == [
        ("gpt-4o", True, Decimal("0.002500")),
        ("gpt-4o-mini", False, Decimal("0.000150")),
    ]
    assert spend.assumed_requests == 1


def test_batch_rows_have_the_batch_price_and_it_says_where_none_is_listed(open_log, dataset_id, priced_at):
    rows = "gpt-4o,openai,true,1000000,0\ngpt-4o,azure,true,1000000,0\n"
    log = f"model,provider,batch,input_tokens,output_tokens\n{rows}"

    spend = spend_breakdown(open_log(log), dataset_id, priced_at=priced_at)

    assert spend.cost.total_usd == Decimal("1.25") + Decimal("2.50")
    assert any("1 batch requests are priced as usual ones" in note for note in spend.notes)


def test_buckets_reach_a_price_tier_by_their_mean_request(open_log, dataset_id, priced_at):
    def page(requests: int) -> str:
        result = {
            "input_tokens": 400_000,
            "output_tokens": 0,
            "num_model_requests": requests,
            "model": "gemini-2.5-pro",
        }
        return json.dumps({"object": "page", "data": [{"start_time": 1_777_593_600, "results": [result]}]})

    short = spend_breakdown(open_log(page(2)), dataset_id, priced_at=priced_at)
    long = spend_breakdown(open_log(page(1)), dataset_id, priced_at=priced_at)

    assert short.cost.total_usd == Decimal("0.5")
    assert long.cost.total_usd == Decimal("1")
    assert any("mean length" in note for note in short.notes)


def hourly_log(hours: int, tokens: int = 1000, growth: int = 0) -> str:
    rows = [f"{1_777_593_600 + 3600 * hour},gpt-4o,{tokens + growth * hour},0" for hour in range(hours)]
    return "time,model,input_tokens,output_tokens\n" + "\n".join(rows)


@pytest.mark.parametrize(("growth", "direction"), [(0, "steady"), (50, "rising"), (-5, "falling")])
def test_the_trend_compares_the_halves(open_log, dataset_id, priced_at, growth, direction):
    spend = spend_breakdown(open_log(hourly_log(101, growth=growth)), dataset_id, priced_at=priced_at)

    assert spend.trend.direction == direction
    assert (spend.trend.change_percent > 5) is (direction == "rising")


def test_a_projection_states_its_factor_and_whether_it_is_mere_extrapolation(open_log, dataset_id, priced_at):
    short = spend_breakdown(open_log(hourly_log(74)), dataset_id, priced_at=priced_at).projection
    week = spend_breakdown(open_log(hourly_log(24 * 7 + 1)), dataset_id, priced_at=priced_at).projection

    assert (short.basis_hours, short.factor, short.is_extrapolated) == (73.0, 10.0, True)
    assert short.monthly_usd == Decimal("74") * 1000 * Decimal("2.5") / 1_000_000 * 10
    assert "Extrapolated from 3.0 days" in short.statement
    assert (week.basis_hours, week.is_extrapolated) == (168.0, False)


def test_results_are_json_with_money_as_text(open_log, dataset_id, priced_at):
    written = json.loads(spend_breakdown(open_log(LOG), dataset_id, priced_at=priced_at).model_dump_json())

    assert written["cost"]["total_usd"] == "0.754920"
    assert written["priced_at"] == "2026-11-15T00:00:00Z"


def test_an_unknown_dataset_is_not_found(open_log, priced_at):
    with pytest.raises(NotFoundError):
        spend_breakdown(open_log(LOG), "another", priced_at=priced_at)
