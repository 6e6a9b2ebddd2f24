"""Bad input from outside: a clear, typed error each time, nothing stored, and the server goes on."""

import json
import os
import socket
from http.client import HTTPResponse
from uuid import uuid4

import httpx
import pytest

from tests.flows.client import open_socket

pytestmark = [pytest.mark.e2e, pytest.mark.mission_critical("P9")]


def counts(server):
    with server.database() as database:
        tables = ("agents_dataset", "agents_thread", "agents_run", "agents_message")
        return [database.execute(f"SELECT count(*) FROM {table}").fetchone() for table in tables]


@pytest.mark.parametrize(
    "content",
    [b"", os.urandom(1_000), b"TIMESTAMP,ContextTokens\n2026-01-01 00:00:00,1\n"],
    ids=["empty", "random bytes", "missing column"],
)
def test_files_that_are_no_log(server, content):
    before = counts(server)
    with server.client("alice") as client:
        answer = client.post("/api/v1/datasets", files={"file": ("x.csv", content)})
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request"), answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["detail"]
        assert client.get("/healthz").status_code == 200
    assert counts(server) == before


def test_a_200_mb_upload_is_refused_before_it_is_read(server):
    before = counts(server)
    address = httpx.URL(server.url)
    headers = (
        "POST /api/v1/datasets HTTP/1.1\r\n"
        f"Host: {address.host}\r\n"
        f"Authorization: Bearer {server.token('alice')}\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\n"
        "Content-Length: 200000000\r\n\r\n"
    )
    with socket.create_connection((address.host, address.port), timeout=20) as connection:
        connection.sendall(headers.encode() + b"x" * 100_000)
        answer = HTTPResponse(connection)
        answer.begin()
        assert answer.status == 413
        assert json.load(answer)["code"] == "payload_too_large"
    with server.client("alice") as client:
        assert client.get("/healthz").status_code == 200
    assert counts(server) == before


def test_messages_that_cannot_be_taken(server):
    before = counts(server)
    with open_socket(server, "alice") as chat:
        answer = chat.ask("send_message", thread_id=None, text="x" * 20_000)
        assert (answer["type"], answer["code"]) == ("error", "invalid_request")
        answer = chat.ask("send_message", thread_id=str(uuid4()), text="hello")
        assert (answer["type"], answer["code"]) == ("error", "not_found")
        answer = chat.ask("send_message", thread_id="nonsense", text="hello")
        assert (answer["type"], answer["code"]) == ("error", "invalid_request")
        assert chat.ask("ping")["type"] == "pong"
    assert counts(server) == before


def test_the_same_over_rest(server):
    before = counts(server)
    with server.client("alice") as client:
        answer = client.post(f"/api/v1/threads/{uuid4()}/runs", json={"text": "hello"})
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        for content in (b"{", b"[]", b'{"text": 5}', b'{"text": ""}', b'{"text": "a\\u0000b"}'):
            answer = client.post(
                f"/api/v1/threads/{uuid4()}/runs",
                content=content,
                headers={"Content-Type": "application/json"},
            )
            assert answer.status_code in {400, 404}, answer.text
            assert answer.json()["code"] in {"invalid_request", "not_found"}
    assert counts(server) == before
