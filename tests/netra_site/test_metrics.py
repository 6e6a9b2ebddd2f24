import re

import httpx
import pytest


def figure(text: str, name: str) -> float:
    found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
    assert found, f"no {name}"
    return float(found[1])


@pytest.mark.e2e
def test_the_figures_count_contexts_and_name_nobody(server):
    before = httpx.get(f"{server.url}/metrics").text
    with server.client("alice") as client:
        me = client.get("/api/v1/me").json()
    after = httpx.get(f"{server.url}/metrics")
    assert after.headers["content-type"].startswith("text/plain; version=")
    created = "netra_contexts_created_total"
    assert figure(after.text, created) >= figure(before, created) + 1
    assert figure(after.text, "netra_contexts_healthy") == 1
    assert figure(after.text, "netra_engines_active") >= 0
    assert me["id"] not in after.text
