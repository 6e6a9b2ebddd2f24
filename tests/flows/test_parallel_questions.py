"""Questions asked at once in one conversation, while earlier ones are being answered."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.servers import ServerProcess

pytestmark = pytest.mark.e2e


def test_questions_at_once_in_one_conversation_wait_for_each_other(server: ServerProcess):
    with server.client("bob") as client:
        thread = client.post("/api/v1/threads", json={}).json()["id"]

        def ask(number: int) -> int:
            return client.post(f"/api/v1/threads/{thread}/runs", json={"text": f"hi {number}"}).status_code

        with ThreadPoolExecutor(6) as threads:
            statuses = set(threads.map(ask, range(24)))
    # the line may be full, but nothing waits for what waits for it
    assert 202 in statuses
    assert statuses <= {202, 429}
