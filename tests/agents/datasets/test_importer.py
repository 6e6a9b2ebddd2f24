import json
from datetime import datetime
from pathlib import Path

import duckdb
import pytest

from agents.datasets import import_file
from contexts.exceptions import InvalidDatasetError, UnavailableError

pytestmark = pytest.mark.unit


def stored_rows(tmp_path: Path, columns: str = "*") -> list[tuple]:
    with duckdb.connect() as connection:
        return connection.execute(
            f"SELECT {columns} FROM '{tmp_path / 'stored.parquet'}' ORDER BY row_number"
        ).fetchall()


@pytest.mark.parametrize(
    ("name", "format_name", "rows", "input_tokens", "output_tokens", "is_relative"),
    [
        ("azure_llm_trace_2023_conv.csv", "azure_llm_inference_trace", 19_366, 22_361_870, 4_088_665, False),
        ("azure_llm_trace_2023_code.csv", "azure_llm_inference_trace", 8_819, 18_059_974, 245_896, False),
        ("mooncake_conversation_trace.jsonl", "mooncake_trace", 12_031, 144_793_823, 4_122_048, True),
    ],
)
def test_real_traces_keep_every_token(
    real_log, tmp_path, name, format_name, rows, input_tokens, output_tokens, is_relative
):
    # What the smallest tier grants suffices.
    imported = import_file(
        real_log(name), tmp_path / "trace.parquet", filename=name, memory_limit_bytes=256 << 20
    )

    assert imported.format == format_name
    assert (imported.rows, imported.requests) == (rows, rows)
    assert (imported.input_tokens, imported.output_tokens) == (input_tokens, output_tokens)
    assert imported.time_is_relative is is_relative
    assert imported.models == ()
    assert imported.names_models is False
    assert imported.bytes == (tmp_path / "trace.parquet").stat().st_size


def test_the_azure_format_has_windows_lines_and_seven_digits_of_a_second(import_bytes, tmp_path):
    imported = import_bytes(
        "TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:15:46.6805900,374,44\r\n"
        "2023-11-16 18:15:50.9951690,396,109"
    )

    assert imported.format == "azure_llm_inference_trace"
    assert imported.first_at == datetime(2023, 11, 16, 18, 15, 46, 680590)
    assert stored_rows(tmp_path, "row_number, input_tokens, output_tokens, requests") == [
        (1, 374, 44, 1),
        (2, 396, 109, 1),
    ]


def test_the_mooncake_format_keeps_block_hashes_and_relative_times(import_bytes, tmp_path):
    imported = import_bytes(
        '{"timestamp": 0, "input_length": 600, "output_length": 5, "hash_ids": [7, 8]}\n'
        '{"timestamp": 27482, "input_length": 512, "output_length": 6, "hash_ids": [7]}\n'
    )

    assert imported.time_is_relative is True
    assert (imported.last_at - imported.first_at).total_seconds() == 27.482
    assert stored_rows(tmp_path, "prefix_hashes") == [([7, 8],), ([7],)]


LITELLM_ROW = {
    "request_id": "chatcmpl-1",
    "call_type": "acompletion",
    "api_key": "88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b",
    "spend": 0.00325,
    "total_tokens": 1100,
    "prompt_tokens": 1000,
    "completion_tokens": 100,
    "startTime": "2026-05-01T10:00:00.123000Z",
    "endTime": "2026-05-01T10:00:02Z",
    "model": "gpt-4o",
    "model_group": "fast",
    "custom_llm_provider": "azure",
    "user": "u1",
    "team_id": "",
    "cache_hit": "False",
    "request_tags": ["a"],
    "metadata": {
        "user_api_key_alias": "backend",
        "usage_object": {"prompt_tokens_details": {"cached_tokens": 640}},
    },
}


@pytest.mark.parametrize("shape", ["list", "lines"])
def test_litellm_spend_logs_in_json(import_bytes, tmp_path, shape):
    rows = [LITELLM_ROW, LITELLM_ROW | {"cache_hit": "True", "spend": 0}, LITELLM_ROW | {"metadata": {}}]
    imported = import_bytes(json.dumps(rows) if shape == "list" else "\n".join(map(json.dumps, rows)))

    assert imported.format == "litellm_spend_logs"
    assert imported.rows == 2
    assert imported.models == ("gpt-4o",)
    assert imported.names_models is True
    assert any("1 requests were answered from LiteLLM's own cache" in note for note in imported.notes)
    columns = "row_number, requested_at, provider, cached_input_tokens, recorded_cost_usd, project"
    assert stored_rows(tmp_path, columns) == [
        (1, datetime(2026, 5, 1, 10, 0, 0, 123000), "azure", 640, 0.00325, "backend"),
        (3, datetime(2026, 5, 1, 10, 0, 0, 123000), "azure", 0, 0.00325, "u1"),
    ]


def test_litellm_spend_logs_in_csv_read_the_metadata_column(import_bytes, tmp_path):
    metadata = json.dumps(LITELLM_ROW["metadata"]).replace('"', '""')
    imported = import_bytes(
        "request_id,spend,prompt_tokens,completion_tokens,startTime,model,custom_llm_provider,metadata\n"
        f'a,0.1,1000,5,2026-05-01 10:00:00+00,gpt-4o,openai,"{metadata}"\n'
    )

    assert imported.format == "litellm_spend_logs"
    assert stored_rows(tmp_path, "cached_input_tokens, project") == [(640, "backend")]


def test_a_litellm_api_key_hash_is_never_stored(import_bytes, tmp_path):
    import_bytes(json.dumps([LITELLM_ROW]))

    assert LITELLM_ROW["api_key"] not in repr(stored_rows(tmp_path))


def openai_page(start: int, results: list[dict]) -> dict:
    bucket = {"object": "bucket", "start_time": start, "end_time": start + 86400, "results": results}
    empty = {"object": "bucket", "start_time": start + 86400, "end_time": start + 172800, "results": []}
    return {"object": "page", "data": [bucket, empty], "has_more": False, "next_page": None}


OPENAI_RESULTS = [
    {
        "object": "organization.usage.completions.result",
        "input_tokens": 141_201,
        "output_tokens": 9_756,
        "input_cached_tokens": 102_400,
        "num_model_requests": 470,
        "project_id": "proj_a",
        "model": "gpt-4o-2024-08-06",
        "batch": False,
    },
    {
        "object": "organization.usage.completions.result",
        "input_tokens": 2_000_000_000,
        "output_tokens": 50,
        "input_cached_tokens": 0,
        "num_model_requests": 30_000,
        "project_id": None,
        "model": "gpt-4o-mini",
        "batch": True,
    },
]


@pytest.mark.parametrize(
    "shape", ["page", "pretty page", "pages in lines", "list of buckets", "bucket lines"]
)
def test_openai_usage_in_all_its_shapes(import_bytes, tmp_path, shape):
    page = openai_page(1_730_419_200, OPENAI_RESULTS)
    content = {
        "page": json.dumps(page),
        "pretty page": json.dumps(page, indent=2),
        "pages in lines": f"{json.dumps(page)}\n{json.dumps(openai_page(1_731_000_000, []))}\n",
        "list of buckets": json.dumps(page["data"]),
        "bucket lines": "\n".join(map(json.dumps, page["data"])),
    }[shape]

    imported = import_bytes(content)

    assert imported.format == "openai_usage"
    assert (imported.rows, imported.requests) == (2, 30_470)
    columns = "requested_at, model, requests, input_tokens, cached_input_tokens, is_batch, project"
    assert stored_rows(tmp_path, columns) == [
        (datetime(2024, 11, 1), "gpt-4o-2024-08-06", 470, 141_201, 102_400, False, "proj_a"),
        (datetime(2024, 11, 1), "gpt-4o-mini", 30_000, 2_000_000_000, 0, True, None),
    ]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_plain_csv_with_any_separator_and_usual_names(import_bytes, tmp_path, separator, mark):
    header = separator.join(
        ["Created At", "Model Name", "Prompt Tokens", "completionTokens", "COST_USD", "Team"]
    )
    row = separator.join(["2026-05-01T12:00:00+02:00", "gpt-4o", "12", "3.0", "0.5", "search"])

    imported = import_bytes(f"{mark}{header}\n{row}\n")

    assert imported.format == "plain_table"
    columns = "requested_at, model, input_tokens, output_tokens, recorded_cost_usd, project"
    assert stored_rows(tmp_path, columns) == [(datetime(2026, 5, 1, 10), "gpt-4o", 12, 3, 0.5, "search")]


@pytest.mark.parametrize("text", ["1777629600", "1777629600000", "1777629600000000", "2026-05-01 10:00:00"])
def test_plain_times_may_be_unix_times_of_any_unit(import_bytes, text):
    assert import_bytes(f"time,tokens_in,tokens_out\n{text},1,2\n").first_at == datetime(2026, 5, 1, 10)


def test_plain_json_may_nest_its_usage(import_bytes, tmp_path):
    import_bytes('[{"model": "m", "usage": {"prompt_tokens": 4, "completion_tokens": 2}}]')

    assert stored_rows(tmp_path, "model, input_tokens, output_tokens") == [("m", 4, 2)]


def test_a_file_name_with_wildcards_means_itself(tmp_path):
    (tmp_path / "a[b]*?'.csv").write_text("input_tokens,output_tokens\n1,2\n")
    (tmp_path / "ab1x'.csv").write_text("input_tokens,output_tokens\n5,6\n")

    imported = import_file(tmp_path / "a[b]*?'.csv", tmp_path / "it's [stored].parquet", filename="x")

    assert imported.input_tokens == 1


BAD_FILES = {
    "empty": (b"", "empty"),
    "blank": (b"\n \n", "empty"),
    "blanks that are not ASCII": ("\u00a0\n\u3000\n".encode(), "empty"),
    "separators only": (b",,,\n,,,\n", "no column"),
    "binary": (bytes(range(256)) * 4, "no text"),
    "random": (bytes([0x9F, 0xC3, 0x28, 0x80, 0xFE] * 200), "UTF-8"),
    "utf-16": ("input_tokens,output_tokens\n1,2\n".encode("utf-16"), "no text|UTF-8"),
    "latin-1 far below": (
        b"input_tokens,output_tokens,user\n" + b"1,2,a\n" * 300_000 + b"1,2,\xe9\n",
        "300002.*UTF-8",
    ),
    "missing columns": (
        b"time,model,answer\n2026-01-01,gpt-4o,hi\n",
        'input tokens.*output tokens.*"answer"',
    ),
    "header only": (b"time,input_tokens,output_tokens\n", "no rows"),
    "negative": (b"input_tokens,output_tokens\n1,2\n-5,2\n", 'Row 2.*input tokens is "-5"'),
    "fraction": (b"input_tokens,output_tokens\n1,2.5\n", 'Row 1.*output tokens is "2.5"'),
    "word": (b"input_tokens,output_tokens\nmany,2\n", 'Row 1.*"many"'),
    "nan": (b"input_tokens,output_tokens\nnan,2\n", "Row 1"),
    "infinite": (b"input_tokens,output_tokens\n1,inf\n", "Row 1"),
    "absurd": (b"input_tokens,output_tokens\n1000000001,2\n", "Row 1.*more than 1000000000"),
    "no count": (b"input_tokens,output_tokens\n1,\n", "Row 1.*output tokens is missing"),
    "more cached than input": (b"input_tokens,output_tokens,cached_tokens\n5,1,6\n", r"Row 1.*cached.*\(6\)"),
    "time": (b"time,input_tokens,output_tokens\n2026-01-01,1,2\nyesterday,1,2\n", 'Row 2.*"yesterday"'),
    "time of day only": (b"time,input_tokens,output_tokens\n12345,1,2\n", "Row 1.*time"),
    "ambiguous time": (b"time,input_tokens,output_tokens\n01/02/2026,1,2\n", "Row 1.*time"),
    "cost": (b"input_tokens,output_tokens,cost\n1,2,free\n", 'Row 1.*cost.*"free"'),
    "too few fields": (b"input_tokens,output_tokens,cost\n1,2,3\n1,2\n", "Line 3 has 2 fields"),
    "too many fields": (b"input_tokens,output_tokens\n1,2,3\n", "Line 2 has 3 fields"),
    "open quote": (b'input_tokens,output_tokens,user\n1,2,"x\n', "Line 2.*quote"),
    "truncated line": (
        b'{"input_tokens":1,"output_tokens":2}\n{"input_tokens":1,"output_tokens":2}\n{"input_tok',
        "Line 3",
    ),
    "truncated line far below": (b'{"input_tokens":1,"output_tokens":2}\n' * 5_000 + b'{"inp', "Line 5001"),
    "truncated list": (b'[{"input_tokens":1,"output_tokens":2}', "line 1, column 38"),
    "truncated document": (b'{"object":"page","data":[\n{"object":', "line 2"),
    "nested": (b"[" * 100_000, "nested too deeply"),
    "nested objects": (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "nested too deeply"),
    "nested in a later line": (
        b'{"input_tokens":1,"output_tokens":2}\n' + b'{"a":' * 50_000,
        "Line 2.*nested too deeply",
    ),
    "no objects": (b"[1, 2]", "Row 1 is no JSON object"),
    "empty list": (b"[]", "no rows"),
    "a line that is no object": (b'{"input_tokens":1,"output_tokens":2}\n' * 600 + b"5\n", "Row 601"),
    "hashes": (b'{"timestamp":0,"input_length":1,"output_length":1,"hash_ids":["x"]}\n', "Row 1.*hashes"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_refused_with_a_sentence_and_stores_nothing(import_bytes, tmp_path, name):
    content, message = BAD_FILES[name]

    with pytest.raises(InvalidDatasetError, match=f"(?s){message}") as caught:
        import_bytes(content)

    assert "\n" not in caught.value.message
    assert "Traceback" not in caught.value.message
    assert str(tmp_path) not in caught.value.message
    assert [path.name for path in tmp_path.iterdir()] == ["upload"]


def test_a_bad_file_leaves_what_was_stored_before(import_bytes, tmp_path):
    import_bytes("input_tokens,output_tokens\n1,2\n")
    before = (tmp_path / "stored.parquet").read_bytes()

    with pytest.raises(InvalidDatasetError):
        import_bytes("input_tokens,output_tokens\n1,x\n")

    assert (tmp_path / "stored.parquet").read_bytes() == before


def test_an_import_keeps_within_the_memory_it_was_granted(tmp_path):
    log = tmp_path / "log.csv"
    log.write_text("project,input_tokens,output_tokens\n" + f"{'p' * 150},1,2\n" * 100_000)

    with pytest.raises(UnavailableError, match="more memory"):
        import_file(log, tmp_path / "log.parquet", filename="log.csv", memory_limit_bytes=8 << 20)

    assert list(tmp_path.glob("*.p*")) == []
    assert import_file(log, tmp_path / "log.parquet", filename="log.csv").rows == 100_000
