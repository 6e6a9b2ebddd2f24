"""Uploads from outside: admitted by what they say they have, before they are received."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPResponse
from typing import Any

import httpx
import pytest

from tests.servers import ServerProcess

pytestmark = [pytest.mark.e2e, pytest.mark.mission_critical("P4")]
MEGABYTE = 10**6
TRACE = b"TIMESTAMP,ContextTokens,GeneratedTokens\n" + 700_000 * b"2023-11-16 18:15:46.6805900,374,44\n"
BODY = (
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="calls.csv"\r\n'
    b"Content-Type: text/csv\r\n\r\n" + TRACE + b"\r\n--b--\r\n"
)


@contextmanager
def begun(server: ServerProcess, token: str | None, *lines: str) -> Iterator[socket.socket]:
    """Begin an upload: send the head of the request alone."""
    address = httpx.URL(server.url)
    head = [
        "POST /api/v1/datasets HTTP/1.1",
        f"Host: {address.host}",
        "Content-Type: multipart/form-data; boundary=b",
        *([f"Authorization: Bearer {token}"] if token else []),
        *lines,
    ]
    with socket.create_connection((address.host, address.port), timeout=30) as connection:
        connection.sendall(("\r\n".join(head) + "\r\n\r\n").encode())
        yield connection


def answer_of(connection: socket.socket) -> tuple[int, dict[str, Any], HTTPResponse]:
    answer = HTTPResponse(connection)
    answer.begin()
    return answer.status, json.load(answer), answer


def storage(client: httpx.Client) -> dict[str, Any]:
    rows = client.get("/api/v1/quotas").json()
    return next(row for row in rows if row["resource"] == "storage_bytes")


def wait_until_reserved(client: httpx.Client, amount: int) -> None:
    give_up_at = time.monotonic() + 60
    while storage(client)["reserved"] != amount:
        assert time.monotonic() < give_up_at, storage(client)
        time.sleep(0.02)


def test_more_than_is_left_is_refused_before_any_of_it_is_sent(server: ServerProcess) -> None:
    with server.client("carol") as client:
        before = storage(client)
        token = server.token("carol")
        with begun(server, token, f"Content-Length: {60 * MEGABYTE}") as connection:
            status, problem, answer = answer_of(connection)
        assert (status, problem["code"], problem["resource"]) == (429, "quota_exceeded", "storage_bytes")
        assert (problem["limit"], answer.headers["Retry-After"]) == (50 * MEGABYTE, "60")
        assert storage(client) == before


@pytest.mark.parametrize(
    ("has_token", "line", "status"),
    [(False, "Content-Length: 90000000", 401), (True, "Transfer-Encoding: chunked", 400)],
    ids=["a stranger", "of unknown length"],
)
def test_what_cannot_be_taken_anyhow_is_refused_unread(
    server: ServerProcess, has_token: bool, line: str, status: int
) -> None:
    with begun(server, server.token("carol") if has_token else None, line) as connection:
        assert answer_of(connection)[0] == status


def test_of_two_uploads_for_the_last_bytes_one_is_received(server: ServerProcess) -> None:
    token = server.token("carol")
    with server.client("carol") as client, ExitStack() as stack:
        before = storage(client)
        # The first has not sent a byte of its body when the second comes.
        one_too_many = before["remaining"] - len(BODY) + 1
        first = stack.enter_context(begun(server, token, f"Content-Length: {len(BODY)}"))
        wait_until_reserved(client, len(BODY))
        second = stack.enter_context(begun(server, token, f"Content-Length: {one_too_many}"))
        assert answer_of(second)[0] == 429
        first.sendall(BODY)
        status, dataset, _ = answer_of(first)
        assert status == 201, dataset
        now = storage(client)
        assert (now["used"] - before["used"], now["reserved"]) == (dataset["stored_bytes"], 0)
        assert client.delete(f"/api/v1/datasets/{dataset['id']}").status_code == 204
        assert storage(client) == before


def test_an_upload_that_breaks_off_is_given_back(server: ServerProcess) -> None:
    token = server.token("carol")
    with server.client("carol") as client:
        before = storage(client)
        with begun(server, token, f"Content-Length: {len(BODY)}") as connection:
            connection.sendall(BODY[:100_000])
            wait_until_reserved(client, len(BODY))
        wait_until_reserved(client, 0)
        assert storage(client) == before
