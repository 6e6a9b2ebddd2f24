import xml.etree.ElementTree as ElementTree

import pytest

from agents.analysis import compare_models, savings_plan, spend_breakdown
from agents.analysis.charts import comparison_chart, savings_chart, spend_chart

pytestmark = pytest.mark.unit

SIZE_LIMIT = 30_000


def check(chart):
    root = ElementTree.fromstring(chart.svg)  # noqa: S314 (rendered by ourselves)
    assert root.tag.endswith("svg")
    assert (root.get("role"), root.get("aria-label")) == ("img", chart.alt_text)
    assert len(chart.svg.encode()) < SIZE_LIMIT
    assert "<script" not in chart.svg
    assert 'fill="white"' not in chart.svg
    return "".join(root.itertext())


def test_spend_over_time_of_a_real_trace(open_real_log, dataset_id, priced_at):
    session = open_real_log("azure_llm_trace_2023_conv.csv")

    chart = spend_chart(spend_breakdown(session, dataset_id, priced_at=priced_at))

    text = check(chart)
    assert "USD per minute" in text
    assert "18:15" in text
    assert "$96.79 in all" in chart.alt_text
    assert "peak" in chart.alt_text


def test_costs_today_on_cheaper_models_and_in_batch(open_real_log, dataset_id, priced_at):
    session = open_real_log("mooncake_conversation_trace.jsonl")
    comparison = compare_models(session, dataset_id, priced_at=priced_at)
    plan = savings_plan(session, dataset_id, priced_at=priced_at)

    chart = comparison_chart(comparison, plan)

    text = check(chart)
    for shown in ("today: gpt-4o (assumed)", "$403.21", "gpt-4o-mini", "batch for 50 %", "batch for 100 %"):
        assert shown in text
        assert shown in chart.alt_text
    assert "all measures together" in check(savings_chart(plan))


def test_relative_times_are_shown_as_such(open_real_log, dataset_id, priced_at):
    session = open_real_log("mooncake_conversation_trace.jsonl")

    chart = spend_chart(spend_breakdown(session, dataset_id, priced_at=priced_at))

    assert "minutes since the start" in check(chart)


def test_names_from_a_file_stay_text(open_log, dataset_id, priced_at):
    nasty = "</text><script>alert(1)</script>"
    session = open_log(f'model,input_tokens,output_tokens\n"{nasty}",1000,10\ngpt-4o,1000,10\n')
    comparison = compare_models(session, dataset_id, priced_at=priced_at)

    chart = comparison_chart(comparison.model_copy(update={"baseline": nasty}))

    assert nasty in check(chart)


def test_nothing_to_compare_gives_no_chart(open_log, dataset_id, priced_at):
    session = open_log("model,input_tokens,output_tokens\nours,1,1\n")

    assert spend_chart(spend_breakdown(session, dataset_id, priced_at=priced_at)) is None
    assert comparison_chart(compare_models(session, dataset_id, priced_at=priced_at)) is None
    assert savings_chart(savings_plan(session, dataset_id, priced_at=priced_at)) is None
