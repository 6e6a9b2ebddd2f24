import json
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contexts.audit_details import CUT, SIZE_LIMIT, audit_details
from contexts.redaction import REDACTED

SECRET = "hunter2-hunter2-hunter2"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"


class Colour(Enum):
    """An enumeration."""

    RED = "red"


class Telling:
    """An object whose text tells a secret."""

    def __str__(self) -> str:
        return SECRET

    __repr__ = __str__


@pytest.mark.mission_critical("P8")
@pytest.mark.parametrize(
    "name",
    "password PASSWORD newPassword token access_token refreshToken secret client_secret api_key apiKey "
    "Authorization cookie Set-Cookie credential aws-credentials tokens".split(),
)
@pytest.mark.parametrize("wrap", [lambda data: data, lambda data: {"a": [{"b": data}]}])
def test_what_a_secret_name_holds_is_not_kept(name: str, wrap: Any):
    for value in (SECRET, [SECRET], {"x": SECRET}, SECRET.encode(), Telling()):
        kept = json.dumps(audit_details(wrap({name: value})))
        assert "hunter2" not in kept
        assert REDACTED in kept


@pytest.mark.mission_critical("P8")
@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {SECRET}",
        f"bearer {SECRET}",
        f"the token {JWT} was refused",
        "postgresql://netra:hunter2-hunter2@db/netra",
        f"/chat?ticket=1&token={SECRET}&x=1",
        f"https://host/x?access_token={SECRET}",
        f'{{"api_key": "{SECRET}"}}',
        f"password = '{SECRET}'",
        f"Cookie: sessionid=1; csrf={SECRET}",
        f"url=https://host/?password={SECRET}",
        "key sk-hunter2hunter2hunter2",
        "AKIAHUNTER2HUNTER2",
        "ghp_hunter2hunter2hunter2",
        "-----BEGIN RSA PRIVATE KEY-----\nhunter2\n-----END RSA PRIVATE KEY-----",
        "x" * 150 + f" password={SECRET}",
    ],
)
def test_a_secret_within_a_text_is_not_kept(text: str):
    (kept,) = audit_details({"reason": text}).values()
    assert "hunter2" not in kept.lower()
    assert JWT not in kept
    assert REDACTED in kept


@pytest.mark.parametrize(
    "details",
    [
        {"tokens": 5, "input_tokens": 7, "max_tokens": 1.5, "tokens_used": 0},
        {"reserved": {"tokens": ["1000", "2026-03-01T00:00:00+00:00"], "cost_usd": "0"}},
        {
            "path": "/admin/contexts/tenant/",
            "reason": "a token was refused",
            "sql": "SELECT 1 AS a WHERE b = 2",
        },
        {"ok": True, "none": None, "list": [1, "a", {}], "text": "ünï 😀", "big": 2**62},
    ],
)
def test_figures_and_ordinary_texts_are_kept_as_they_are(details: dict[str, Any]):
    assert audit_details(details) == details


def test_plain_values_become_texts_and_objects_their_types():
    at = datetime(2026, 3, 1, tzinfo=UTC)
    assert audit_details(
        {
            "id": UUID(int=1),
            "amount": Decimal("1.50"),
            "at": at,
            "colour": Colour.RED,
            "set": {2, 1},
            "tuple": (1,),
            "bytes": b"abc",
            "object": Telling(),
            "nan": float("nan"),
            "infinite": float("-inf"),
            "huge": 10**5_000,
            3: "three",
        }
    ) == {
        "id": "00000000-0000-0000-0000-000000000001",
        "amount": "1.50",
        "at": str(at),
        "colour": "red",
        "set": [1, 2],
        "tuple": [1],
        "bytes": "[3 bytes]",
        "object": "[Telling]",
        "nan": "nan",
        "infinite": "-inf",
        "huge": "[integer of 16610 bits]",
        "3": "three",
    }


def test_what_is_too_long_too_many_or_too_deep_is_cut():
    assert audit_details({"text": "a" * 201}) == {"text": "a" * 199 + "…"}
    assert len(audit_details({"text": "a" * 10_000_000})["text"]) == 200
    assert audit_details({"n" * 100: 1}) == {"n" * 63 + "…": 1}
    many = audit_details({"items": ["x" * 100] * 1_000})["items"]
    assert many[-1] == CUT
    assert len(json.dumps(many)) < 2 * SIZE_LIMIT
    deep: dict[str, Any] = {}
    deep["deep"] = deep
    assert CUT in json.dumps(audit_details(deep))
    wide = audit_details({f"name-{number}": number for number in range(10_000)})
    assert wide[CUT] == 10_000 - (len(wide) - 1)


def test_what_the_database_cannot_keep_is_replaced():
    assert audit_details({"a\0": "b\0c\ud800"}) == {"a\ufffd": "b\ufffdc\ufffd"}


@given(
    st.dictionaries(
        st.text(),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.decimals(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
            max_leaves=30,
        ),
        max_size=5,
    )
)
def test_anything_becomes_bounded_json(details: dict[str, Any]):
    text = json.dumps(audit_details(details), allow_nan=False, ensure_ascii=False)
    assert len(text.encode()) < 10 * SIZE_LIMIT
    assert "\\u0000" not in text
