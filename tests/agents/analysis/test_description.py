import json

import pytest

from agents.analysis import describe_dataset
from agents.datasets.canonical import COLUMNS

pytestmark = pytest.mark.unit


def test_the_conversation_trace(open_real_log, dataset_id):
    description = describe_dataset(open_real_log("azure_llm_trace_2023_conv.csv"), dataset_id)

    assert (description.format, description.rows) == ("azure_llm_inference_trace", 19_366)
    assert description.traffic.input_tokens == 22_361_870
    assert description.time.first_at.isoformat() == "2023-11-16T18:15:46.680590+00:00"
    assert description.time.span_seconds == pytest.approx(3_501.72, abs=0.01)
    assert description.input_tokens.minimum <= description.input_tokens.median <= description.input_tokens.p95
    assert description.input_tokens.mean == pytest.approx(22_361_870 / 19_366, abs=0.01)
    assert (description.names_models, description.assumed_model) == (False, "gpt-4o")
    assert len(description.sample_rows) == 5
    json.loads(description.model_dump_json())


def test_the_mooncake_trace_has_relative_times_and_hashes(open_real_log, dataset_id):
    description = describe_dataset(open_real_log("mooncake_conversation_trace.jsonl"), dataset_id)

    assert description.has_prefix_hashes is True
    assert (description.time.is_relative, description.time.first_at) == (True, None)
    assert description.time.span_seconds == pytest.approx(3_536.999)


def test_models_projects_and_recorded_cost(open_log, dataset_id):
    log = "model,input_tokens,output_tokens,cost,team\na,1,1,0.1,x\na,2,1,0.2,y\nb,3,1,,y\n,4,1,,\n"

    description = describe_dataset(open_log(log), dataset_id)

    assert description.models[0].model == "a"
    assert {entry.model: entry.traffic.requests for entry in description.models} == {"a": 2, "b": 1, None: 1}
    assert (description.projects, description.records_cost, str(description.recorded_cost_usd)) == (
        2,
        True,
        "0.300000",
    )
    assert [column.name for column in description.columns] == [column.name for column in COLUMNS]
    assert description.table == "log"
    assert description.sample_rows[0]["input_tokens"] == 1
