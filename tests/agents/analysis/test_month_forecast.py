import math
from decimal import Decimal

import pytest

from agents.analysis import forecast

pytestmark = pytest.mark.unit

MAY = 1_777_593_600  # 2026-05-01T00:00:00Z


def log(days: int, cost_of_day=lambda day: 1_000_000) -> str:
    """One request at each midnight and noon, so that the log ends at the last day's noon."""
    rows = [
        f"{MAY + day * 86_400 + half * 43_200},gpt-4o,{cost_of_day(day) // 2},0"
        for day in range(days)
        for half in range(2)
    ]
    return "time,model,input_tokens,output_tokens\n" + "\n".join(rows)


def test_steady_days_are_carried_on_to_the_end_of_the_month(open_log, dataset_id, priced_at):
    result = forecast(open_log(log(11)), dataset_id, priced_at=priced_at)

    assert result.has_enough_data is True
    assert result.target == "2026-05"
    assert result.spent_usd == Decimal("27.5")
    assert result.daily_mean_usd == Decimal("2.5")
    # The log ends on the 11th at noon, 20.5 days before the month does.
    assert result.expected_usd == Decimal("27.5") + Decimal("2.5") * Decimal("20.5")
    assert result.low_usd == result.high_usd == result.expected_usd


def test_days_that_vary_widen_the_interval(open_log, dataset_id, priced_at):
    result = forecast(
        open_log(log(11, lambda day: 500_000 if day % 2 else 1_500_000)), dataset_id, priced_at=priced_at
    )

    deviation = math.sqrt(10 * 1.25**2 / 9)
    margin = 1.645 * deviation * math.sqrt(20.5 + 20.5**2 / 10)
    assert float(result.high_usd - result.expected_usd) == pytest.approx(margin, rel=1e-6)
    assert result.low_usd >= result.spent_usd


def test_weekends_are_told_from_weekdays_once_there_are_two_weeks(open_log, dataset_id, priced_at):
    # 2026-05-01 is a Friday: days 1 and 2 of each week from there are the weekend, without any traffic.
    result = forecast(
        open_log(log(21, lambda day: 0 if day % 7 in (1, 2) else 1_000_000)), dataset_id, priced_at=priced_at
    )

    remaining_weekdays = sum(1 for day in range(21, 31) if day % 7 not in (1, 2))
    assert float(result.expected_usd - result.spent_usd) == pytest.approx(
        2.5 * (remaining_weekdays + 0.5), abs=1e-6
    )


def test_two_full_days_are_too_few(open_log, dataset_id, priced_at):
    result = forecast(open_log(log(3)), dataset_id, priced_at=priced_at)

    assert result.has_enough_data is False
    assert "2 full days" in result.reason
    assert result.expected_usd is None


def test_without_times_or_prices_there_is_no_forecast(open_log, dataset_id, priced_at):
    timeless = forecast(
        open_log("model,input_tokens,output_tokens\ngpt-4o,1,1\n"), dataset_id, priced_at=priced_at
    )
    unpriced = forecast(open_log(log(11).replace("gpt-4o", "ours")), dataset_id, priced_at=priced_at)

    assert timeless.reason == "The log has no times."
    assert unpriced.reason == "No model of the log has a list price."


def test_the_real_trace_of_an_hour_is_refused(open_real_log, dataset_id, priced_at):
    result = forecast(open_real_log("azure_llm_trace_2023_conv.csv"), dataset_id, priced_at=priced_at)

    assert result.has_enough_data is False
