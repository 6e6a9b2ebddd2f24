"""Whoever writes another's name into a frame uses their own quota, or none."""

import pytest

from tests.flows.client import open_socket

pytestmark = [pytest.mark.e2e, pytest.mark.mission_critical("P4")]

COUNTED = """
SELECT u.username, sum(c.used + c.reserved) FROM contexts_quotausage c
JOIN contexts_user u ON u.id = c.user_id WHERE c.resource IN ('agent_runs', 'messages') GROUP BY 1
"""


def counted(server):
    """Return how many runs and messages each user has used or reserved."""
    with server.database() as database:
        return dict(database.execute(COUNTED).fetchall())


@pytest.mark.parametrize("name", ["user_id", "tenant_id", "owner", "reservation_id"])
def test_a_forged_owner_in_a_frame_charges_nobody_else(server, name):
    with server.database() as database:
        (alice,) = database.execute("SELECT id FROM contexts_user WHERE username = 'alice'").fetchone()
    before = counted(server)
    with open_socket(server, "bob") as socket:
        answer = socket.ask("send_message", thread_id=None, text="Whose is this?", **{name: str(alice)})
        if answer["type"] == "ack":
            ended = socket.finish(answer["run_id"])[-1]
            assert ended["user_id"] != str(alice)
        else:
            assert answer["code"] == "invalid_request"
    after = counted(server)
    changed = {user for user in after if after[user] != before.get(user, 0)}
    assert changed == ({"bob"} if answer["type"] == "ack" else set())
