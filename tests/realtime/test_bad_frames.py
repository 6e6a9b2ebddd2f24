"""Bad frames at a real server: a typed error or a close code, a line in its log, nobody else disturbed."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn
from uuid import uuid4

import pytest
from websockets.exceptions import ConnectionClosed

from tests.flows.client import Socket, open_socket
from tests.servers import ServerProcess

pytestmark = [pytest.mark.e2e, pytest.mark.mission_critical("P9")]

PAYLOAD = "payload-that-no-log-may-keep"
FLOOD = 3_000


@pytest.fixture(autouse=True)
def undisturbed(server: ServerProcess) -> Iterator[None]:
    """Check that another user's socket is answered and hears nothing else, and that the log is quiet."""
    with open_socket(server, "carol") as other:
        before = len(server.lines)
        yield
        assert other.ask("ping")["type"] == "pong"
        assert {frame["type"] for frame in other.frames} <= {"connection_established", "pong"}
    told = server.lines[before:]
    assert PAYLOAD not in "".join(told)
    assert len([line for line in told if not line.startswith("Sign in as ")]) <= 1, told


@contextmanager
def closing(server: ServerProcess, code: int) -> Iterator[Socket]:
    """Yield a socket that the server closes with `code` because of what is sent."""
    with open_socket(server, "bob") as socket:
        yield socket
        with pytest.raises(ConnectionClosed) as closed:
            _receive_all(socket)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == code
    assert PAYLOAD not in closed.value.rcvd.reason


def _receive_all(socket: Socket) -> NoReturn:
    while True:
        socket.receive(20)


def test_what_is_no_frame_closes_the_socket(server: ServerProcess) -> None:
    deep = 20_000
    for content in (
        f'{{"type": "ping", "id": "1", {PAYLOAD}',
        PAYLOAD,
        "",
        "[]",
        "null",
        "NaN",
        '"' + PAYLOAD + '"',
        "[" * deep + "]" * deep,
        '{"type":' * 7_000 + "1" + "}" * 7_000,
        '{"type": "send_message", "id": "1", "text": "half a character: \\ud800"}',
        b'{"type": "ping", "id": "1"}',
        b"\x00\xff" * 100,
        json.dumps({"type": "ping", "id": "1", "x": PAYLOAD * 3_000})[: 65 * 1024],
    ):
        with closing(server, 4400) as socket:
            socket.connection.send(content)


def test_a_frame_that_is_far_too_large_closes_the_socket_before_it_is_read_whole(
    server: ServerProcess,
) -> None:
    with closing(server, 1009) as socket, suppress(ConnectionClosed):
        socket.connection.send(PAYLOAD * 200_000)


def test_frames_that_cannot_be_used_are_answered_by_name(server: ServerProcess) -> None:
    with open_socket(server, "bob") as socket:
        for kind, fields in (
            ("fly", {}),
            ("ping", {"extra": PAYLOAD}),
            ("ping", {"extra": json.loads("[" * 150 + "]" * 150)}),
            ("subscribe", {"thread_id": PAYLOAD}),
            ("subscribe", {}),
            ("send_message", {"text": "x" * 10_001}),
            ("send_message", {"text": f"{PAYLOAD}\x00"}),
            ("resume", {"cursors": {str(uuid4()): -1}}),
            ("resume", {"cursors": {str(uuid4()): 2**63}}),
            ("resume", {"cursors": {str(uuid4()): 1 for _ in range(101)}}),
            ("refresh_token", {"access": PAYLOAD}),
        ):
            answer = socket.ask(kind, **fields)
            assert answer["type"] == "error", (kind, fields, answer)
            assert answer["code"] in {"invalid_request", "not_found", "not_authenticated"}
            assert PAYLOAD not in json.dumps(answer)
        for frame_id in (None, [], {}, True, 1.5, "", "i" * 129):
            socket.connection.send(json.dumps({"type": "ping", "id": frame_id}))
            answer = socket.receive()
            assert (answer["type"], answer["code"], answer.get("id")) == ("error", "invalid_request", None)
        assert socket.ask("ping")["type"] == "pong"


def test_the_tenth_unknown_type_closes_the_socket(server: ServerProcess) -> None:
    with closing(server, 4400) as socket:
        for kind in ("fly", None, 7, [], "connection_established", "agent_started", "ack", "PING", PAYLOAD):
            assert socket.ask(kind)["code"] == "invalid_request"  # type: ignore[arg-type]
        socket.send("swim")


def test_ids_of_another_user_are_not_found_whatever_is_asked(server: ServerProcess) -> None:
    with open_socket(server, "alice") as owner:
        ack = owner.ask("send_message", thread_id=None, text=f"Hello {PAYLOAD}")
        owner.finish(ack["run_id"])
        heard = len(owner.frames)
        with open_socket(server, "bob") as socket:
            own = socket.ask("send_message", thread_id=None, text="Hello")
            socket.finish(own["run_id"])
            for kind, fields in _asking_for(thread=ack["thread_id"], run=ack["run_id"], own=own["run_id"]):
                answer = socket.ask(kind, **fields)
                assert (answer["type"], answer["code"]) == ("error", "not_found"), (kind, answer)
            assert not socket.events(ack["run_id"])
            assert PAYLOAD not in json.dumps(socket.frames)
        assert owner.ask("ping")["type"] == "pong"
        assert [frame["type"] for frame in owner.frames[heard:] if frame["type"] != "quota_updated"] == [
            "pong"
        ]


def _asking_for(*, thread: str, run: str, own: str) -> list[tuple[str, dict[str, Any]]]:
    return [
        ("subscribe", {"thread_id": thread}),
        ("unsubscribe", {"thread_id": thread}),
        ("send_message", {"thread_id": thread, "text": "Mine"}),
        ("cancel_run", {"run_id": run}),
        ("resume", {"cursors": {run: 0}}),
        ("resume", {"cursors": {own: 1, run: 1}}),
    ]


def test_a_flood_of_frames_is_limited_and_slows_nobody_else(server: ServerProcess) -> None:
    with open_socket(server, "bob") as flooding, open_socket(server, "alice") as other:
        code = None
        try:
            for number in range(FLOOD):
                flooding.connection.send(json.dumps({"type": "ping", "id": number}))
            assert other.ask("ping")["type"] == "pong"
            while flooding.receive(20).get("id") != FLOOD - 1:
                pass
        except ConnectionClosed as closed:
            code = closed.rcvd and closed.rcvd.code
        assert other.ask("ping")["type"] == "pong"
        assert {frame["type"] for frame in other.frames} <= {"connection_established", "pong"}
    assert code in {None, 4400}
    refused = [frame for frame in flooding.frames if frame["type"] == "error"]
    assert {frame["code"] for frame in refused} == {"rate_limited"}
