from decimal import Decimal

import pytest

from agents.analysis import compare_models

pytestmark = pytest.mark.unit


def test_the_conversation_trace_on_cheaper_models(open_real_log, dataset_id, priced_at):
    session = open_real_log("azure_llm_trace_2023_conv.csv")

    comparison = compare_models(session, dataset_id, priced_at=priced_at)

    costs = {candidate.model: candidate.cost.total_usd for candidate in comparison.candidates}
    assert comparison.baseline == "gpt-4o (assumed)"
    assert round(comparison.baseline_cost.total_usd, 2) == Decimal("96.79")
    assert round(costs["gpt-4o-mini"], 2) == Decimal("5.81")
    assert round(costs["gpt-4.1-mini"], 2) == Decimal("15.49")
    assert list(costs.values()) == sorted(costs.values())
    assert all(cost < comparison.baseline_cost.total_usd for cost in costs.values())
    for candidate in comparison.candidates:
        both = candidate.saving_usd + candidate.cost.total_usd
        assert abs(both - comparison.baseline_cost.total_usd) <= Decimal("0.000001")
    assert "quality" in comparison.caveat


LOG = "model,input_tokens,output_tokens\ngpt-4o-mini,250000,1000\ngpt-4o-mini,1000,10\nour-model,1,1\n"


def test_candidates_asked_for_are_shown_even_when_dearer_and_tiers_count_per_request(
    open_log, dataset_id, priced_at
):
    comparison = compare_models(
        open_log(LOG),
        dataset_id,
        candidates=["gemini-2.5-pro", "gpt-4o-mini", "no-such"],
        priced_at=priced_at,
    )

    same, dearer = comparison.candidates
    assert (same.model, same.saving_usd) == ("gpt-4o-mini", 0)
    assert dearer.model == "gemini-2.5-pro"
    # 250,000 tokens are above the tier of 200,000, the other 1,000 are not.
    assert dearer.cost.input_usd == Decimal("250000") * Decimal("2.5") / 10**6 + Decimal("0.00125")
    assert dearer.saving_usd < 0
    assert [(skipped.model, skipped.reason) for skipped in comparison.skipped] == [
        ("no-such", "No list price is known for no-such.")
    ]
    assert comparison.traffic.requests == 2
    assert comparison.unpriced[0].name == "our-model"


def test_requests_that_do_not_fit_the_context_window_are_counted(open_log, dataset_id, priced_at):
    comparison = compare_models(
        open_log(LOG), dataset_id, candidates=["gpt-4o", "gpt-4.1"], priced_at=priced_at
    )

    fits = {
        candidate.model: (candidate.context_window, candidate.requests_too_long)
        for candidate in comparison.candidates
    }
    assert fits == {"gpt-4o": (128_000, 1), "gpt-4.1": (1_000_000, 0)}


def test_nothing_is_compared_when_nothing_has_a_price(open_log, dataset_id, priced_at):
    comparison = compare_models(
        open_log("input_tokens,output_tokens\n5,5\n"), dataset_id, priced_at=priced_at
    )

    assert comparison.candidates == ()
    assert comparison.unpriced[0].traffic.requests == 1
