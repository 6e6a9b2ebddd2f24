from typing import Any

import pytest

from contexts.manager import get_context_manager
from tests.clients import assert_problem, client_of
from tests.factories import Cast, make_user

THREADS = "/api/v1/threads"


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"nonsense",
        b'{"title": NaN}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'["title"]',
        b"7",
    ],
    ids=["cut", "no json", "nan", "no utf-8", "deep list", "deep object", "list", "number"],
)
def test_a_malformed_body_is_refused(cast: Cast, body: bytes) -> None:
    response = client_of(cast.alice).generic("POST", THREADS, body, content_type="application/json")
    assert_problem(response, 400, "invalid_request")


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_another_encoding_is_refused(cast: Cast, encoding: str) -> None:
    response = client_of(cast.alice).generic(
        "POST", f"{THREADS}?a=%41", b"{}", content_type=f"application/json; charset={encoding}"
    )
    assert_problem(response, 400, "invalid_request")


def test_an_unknown_field_is_named(cast: Cast) -> None:
    response = client_of(cast.alice).post(THREADS, {"titel": "x"}, format="json")
    assert assert_problem(response, 400, "invalid_request")["errors"] == {"titel": ["Unknown field."]}


@pytest.mark.parametrize("title", [7, None, ["x"], {"a": 1}, "a\0b", "x" * 201])
def test_a_bad_value_is_refused(cast: Cast, title: Any) -> None:
    client = client_of(cast.alice)
    assert_problem(client.post(THREADS, {"title": title}, format="json"), 400, "invalid_request")
    assert client.get(THREADS).json()["results"] == []


def test_other_media_types_are_refused(cast: Cast) -> None:
    response = client_of(cast.alice).generic("POST", THREADS, b"<x/>", content_type="text/xml")
    assert_problem(response, 415, "unsupported_media_type")
    response = client_of(cast.alice).get(THREADS, headers={"Accept": "text/xml"})
    assert_problem(response, 406, "not_acceptable")


def test_a_large_body_is_refused_by_its_stated_length(cast: Cast) -> None:
    response = client_of(cast.alice).generic(
        "POST", THREADS, b"{}", content_type="application/json", CONTENT_LENGTH="2000001"
    )
    assert_problem(response, 413, "payload_too_large")


def test_a_body_of_unknown_length_is_refused(cast: Cast) -> None:
    response = client_of(cast.alice).generic(
        "POST",
        THREADS,
        b"{}",
        content_type="application/json",
        CONTENT_LENGTH="",
        headers={"Transfer-Encoding": "chunked"},
    )
    assert_problem(response, 400, "invalid_request")


@pytest.mark.parametrize("cursor", ["x", "cD1ub3RoaW5n", "bz0tNQ==", "cD0yMDI2LTk5LTk5"])
def test_a_forged_cursor_is_refused(cast: Cast, cursor: str) -> None:
    response = client_of(cast.alice).get(f"{THREADS}?cursor={cursor}")
    assert_problem(response, 400, "invalid_request")


def test_each_request_closes_its_context_also_when_it_fails(cast: Cast) -> None:
    before = len(get_context_manager())
    client = client_of(cast.alice)
    assert client.get("/api/v1/me").status_code == 200
    assert_problem(client.post(THREADS, {"title": 7}, format="json"), 400, "invalid_request")
    assert len(get_context_manager()) == before


def test_an_account_without_a_tenant_is_refused(db: None) -> None:
    assert_problem(client_of(make_user("operator")).get("/api/v1/me"), 403, "permission_denied")
