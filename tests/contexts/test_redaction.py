"""Secrets are found by name and by look; ordinary analysis is left as it is."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contexts.redaction import DEPTH_LIMIT, REDACTED, TOO_DEEP, redact, redact_text

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
SECRET_TEXTS = [
    "Authorization: Bearer hunter2-hunter2",
    "bearer hunter2-hunter2",
    "Basic aHVudGVyMjpodW50ZXIy",
    "sk-hunter2hunter2hunter2",
    "sk-ant-api03-Hunter2Hunter2",
    "AKIAHUNTER2HUNTER2XY",
    "xoxb-12345-hunter2",
    "ghp_hunter2hunter2hunter2",
    "password=hunter2",
    "DB_PASSWORD: 'hunter2'",
    "secret == hunter2",
    "?token=hunter2&x=1",
    "newPassword => hunter2",
    '{"api_key": "hunter2"}',
    '{\\"password\\": \\"hunter2\\"}',
    "postgresql://netra:hunter2@db/netra",
    "https://a:b@hunter2@host/",
    "token: hunter2",
    "refresh_tokens=hunter2-hunter2",
    "Cookie: sessionid=1; csrf=hunter2",
    "-----BEGIN RSA PRIVATE KEY-----\nhunter2\n-----END RSA PRIVATE KEY-----",
]
ORDINARY = [
    {"tokens": 5, "input_tokens": 7, "cached_tokens": 1.5, "total_tokens": "12345"},
    {"output_tokens": {"mean": 1.5, "p95": 2, "by_hour": [1, 2]}, "token_count": 3},
    {"usd_per_token": "0.0000025", "time_to_first_token": 0.35, "unit": "tokens", "per_token": {"x": "a"}},
    {"groups": [{"key": "gpt-4o", "tokens": 1}], "sort_key": "model", "tokenizer": "o200k_base"},
    {
        "columns": [{"name": "tokens", "type": "BIGINT"}, {"name": "key", "type": "VARCHAR"}],
        "rows": [[1, "a"]],
    },
    "SELECT sum(input_tokens) AS tokens FROM log WHERE input_tokens = l.output_tokens*2 GROUP BY key",
    "A basic gpt-4o-mini plan; bearer authentication. Price per token: $0.0000025, max_tokens=4096",
    "It counts tokens: input and output. See https://example.org/a?b=c, ASIAPACIFICREGION, pk_customer_hash",
    {"none": None, "ok": True, "nan": "nan", "": [], "deep": [[[{}]]]},
]


@pytest.mark.mission_critical("P8")
@pytest.mark.parametrize("text", [*SECRET_TEXTS, JWT])
@pytest.mark.parametrize("wrap", [str, lambda text: {"a": [{"b": f"so {text}"}]}, lambda text: [{text: 1}]])
def test_a_secret_within_a_text_is_redacted_wherever_it_stands(text: str, wrap: Any) -> None:
    shown = json.dumps(redact(wrap(text)))
    assert "hunter2" not in shown.lower()
    assert JWT not in shown
    assert REDACTED in shown


@pytest.mark.mission_critical("P8")
@pytest.mark.parametrize(
    "name",
    "password PASSWORD userPassword pwd token access_token refreshToken session-token secret client_secret "
    "api_key apiKey private_key Authorization cookie Set-Cookie credential tokens token_value".split(),
)
def test_what_a_secret_name_holds_is_redacted_whatever_it_is(name: str) -> None:
    for value in ("hunter2", ["hunter2"], {"x": ["hunter2"]}):
        assert "hunter2" not in json.dumps(redact({"a": [{name: value}]}))
    table = {"columns": [{"name": "user"}, {"name": name}], "rows": [["alice", "hunter2"]]}
    if name not in {"tokens", "token_value"}:
        assert redact(table)["rows"] == [["alice", REDACTED]]
    assert redact({"key": "hunter2"}, secret_names=frozenset({"key"})) == {"key": REDACTED}


@pytest.mark.parametrize("data", ORDINARY)
def test_ordinary_results_stay_as_they_are(data: Any) -> None:
    assert redact(data) == data


def test_what_is_nested_too_deep_is_left_out() -> None:
    data: Any = "hunter2"
    for number in range(1_000):
        data = {"a": data} if number % 2 else [data]
    shown = redact(data)
    assert TOO_DEEP in json.dumps(shown)
    depth = 0
    while shown != TOO_DEEP:
        shown, depth = shown["a"] if isinstance(shown, dict) else shown[0], depth + 1
    assert depth == DEPTH_LIMIT


PIECES = st.sampled_from(
    [
        *SECRET_TEXTS,
        "password",
        "tokens",
        "token",
        "=",
        ": ",
        "://",
        "@",
        "\\",
        '"',
        "'",
        " ",
        "x9" * 8,
        "sk-",
        "\n",
    ]
)
TEXTS = st.text(max_size=20) | st.lists(PIECES, max_size=8).map("".join)


@pytest.mark.mission_critical("P8")
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
        lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXTS, inner, max_size=5),
        max_leaves=20,
    )
)
def test_redaction_never_raises_and_twice_changes_nothing_more(data: Any) -> None:
    once = redact(data)
    assert redact(once) == once
    json.dumps(once)


@given(TEXTS)
def test_redacting_a_text_twice_changes_nothing_more(text: str) -> None:
    once = redact_text(text)
    assert redact_text(once) == once
