"""Signing out at a real server ends the sockets of that sign-in, and no other's."""

from contextlib import ExitStack

import httpx
import pytest

from tests.flows.client import open_socket
from tests.flows.test_changes import close_code
from tests.servers import ServerProcess

pytestmark = [pytest.mark.e2e, pytest.mark.mission_critical("P7")]


def test_a_log_out_closes_its_socket_and_cancels_the_runs_if_asked(server: ServerProcess) -> None:
    with ExitStack() as stack:
        other = stack.enter_context(open_socket(server, "bob"))
        access = server.token("bob")
        socket = stack.enter_context(open_socket(server, "bob", access=access))
        client = stack.enter_context(httpx.Client(base_url=server.url, timeout=30))
        client.headers["Authorization"] = f"Bearer {access}"
        ack = other.ask("send_message", thread_id=None, text="What can you do?")
        answer = client.post("/api/v1/auth/logout", json={"cancel_runs": True})
        assert answer.status_code == 204, answer.text
        assert close_code(socket) == 4401
        assert socket.frames[-1]["type"] == "session_revoked"
        assert client.get("/api/v1/me").status_code == 401
        # It may have been answered before.
        assert other.finish(ack["run_id"])[-1]["type"] in {"run_cancelled", "agent_completed"}
        assert other.ask("ping")["type"] == "pong"
