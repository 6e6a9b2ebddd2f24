"""What operators change takes effect at once: on open sockets and on runs in line, of a real server."""

from contextlib import ExitStack

import pytest
from websockets.exceptions import ConnectionClosed

from tests.flows.client import Socket, open_socket
from tests.operating import deactivated, override, tier
from tests.servers import ServerProcess

pytestmark = [pytest.mark.e2e, pytest.mark.mission_critical("P7")]

PATIENCE_S = 10.0
"""The promised 2 s with room for a busy machine; no other clock of the server comes round so soon."""


def limit_of_sockets(socket: Socket) -> int:
    """Return the limit of sockets that the next such update tells."""
    while True:
        frame = socket.receive(PATIENCE_S)
        if frame["type"] == "quota_updated" and frame["resource"] == "websocket_connections":
            return int(frame["limit"])


def close_code(socket: Socket) -> int | None:
    """Return the code with which the server closes."""
    while True:
        try:
            socket.receive(PATIENCE_S)
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else None


def refused(server: ServerProcess, username: str) -> bool:
    """Tell whether one more socket is refused because there are too many."""
    try:
        with open_socket(server, username):
            return False
    except ConnectionClosed as closed:
        return closed.rcvd is not None and closed.rcvd.code == 4429


def test_sockets_follow_tier_override_and_deactivation(server: ServerProcess) -> None:
    with ExitStack() as stack:
        bob = stack.enter_context(open_socket(server, "bob"))
        first, second = (stack.enter_context(open_socket(server, "carol")) for _ in range(2))
        assert refused(server, "carol")
        with tier(server, "globex", "mid"):
            assert [limit_of_sockets(socket) for socket in (first, second)] == [10, 10]
            third = stack.enter_context(open_socket(server, "carol"))
            with override(server, "carol", "websocket_connections", 1):
                assert close_code(third) == 4429
                assert close_code(second) == 4429
                assert limit_of_sockets(first) == 1
                assert refused(server, "carol")
            assert limit_of_sockets(first) == 10
        with deactivated(server, "carol"):
            assert close_code(first) == 4401
            assert first.frames[-1]["type"] == "session_revoked"
        bob.ask("ping")
        assert {frame["type"] for frame in bob.frames} == {"connection_established", "pong"}


def test_a_run_in_line_begins_when_the_limit_is_raised(server: ServerProcess) -> None:
    with open_socket(server, "carol") as socket:
        with override(server, "carol", "concurrent_runs", 0):
            ack = socket.ask("send_message", thread_id=None, text="What can you do?")
            socket.ask("ping")
            (queued,) = socket.events(ack["run_id"])
            assert (queued["type"], queued["data"]["position"]) == ("run_queued", 1)
        assert socket.finish(ack["run_id"])[-1]["type"] == "agent_completed"
