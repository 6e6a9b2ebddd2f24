"""Nothing of one tenant, and of one user, reaches another: page, socket, REST, admin."""

import json
from uuid import uuid4

import httpx
import pytest

from tests.flows.client import open_socket, upload

pytestmark = [pytest.mark.e2e, pytest.mark.mission_critical("P1")]


@pytest.fixture(scope="module")
def canary(server, tmp_path_factory):
    """Have alice upload a log, ask about it, and return the ids and the word that nobody else may see."""
    word = f"canary{uuid4().hex}"
    log = tmp_path_factory.mktemp("canary") / f"{word}.csv"
    log.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n2026-01-01 00:00:00,100,10\n")
    with server.client("alice") as client, open_socket(server, "alice") as socket:
        dataset = upload(client, log, assume_model="gpt-4o")
        ack = socket.ask(
            "send_message",
            thread_id=None,
            text=f"Where does the spend go? {word}",
            dataset_ids=[dataset["id"]],
        )
        socket.finish(ack["run_id"])
    return {"word": word, "dataset": dataset["id"], "thread": ack["thread_id"], "run": ack["run_id"]}


@pytest.mark.parametrize("outsider", ["bob", "carol"])
def test_rest_answers_not_found_and_lists_nothing(server, canary, outsider):
    thread, run = canary["thread"], canary["run"]
    with server.client(outsider) as client:
        for method, address, body in (
            ("GET", f"threads/{thread}", None),
            ("PATCH", f"threads/{thread}", {"title": "Mine"}),
            ("DELETE", f"threads/{thread}", None),
            ("GET", f"threads/{thread}/messages", None),
            ("POST", f"threads/{thread}/runs", {"text": "Mine"}),
            ("GET", f"runs/{run}", None),
            ("POST", f"runs/{run}/cancel", None),
            ("GET", f"runs/{run}/events", None),
            ("GET", f"runs/{run}/audit", None),
        ):
            answer = client.request(method, f"/api/v1/{address}", json=body)
            assert answer.status_code == 404, (method, address, answer.text)
            assert answer.json()["code"] == "not_found"
        assert canary["word"] not in client.get("/api/v1/threads").text
        if outsider == "carol":
            assert client.get(f"/api/v1/datasets/{canary['dataset']}").status_code == 404
            assert client.delete(f"/api/v1/datasets/{canary['dataset']}").status_code == 404
            assert canary["word"] not in client.get("/api/v1/datasets").text


@pytest.mark.parametrize("outsider", ["bob", "carol"])
def test_sockets_answer_not_found(server, canary, outsider):
    with open_socket(server, outsider) as socket:
        for kind, fields in (
            ("subscribe", {"thread_id": canary["thread"]}),
            ("send_message", {"thread_id": canary["thread"], "text": "hello"}),
            ("cancel_run", {"run_id": canary["run"]}),
            ("resume", {"cursors": {canary["run"]: 0}}),
        ):
            answer = socket.ask(kind, **fields)
            assert (answer["type"], answer["code"]) == ("error", "not_found"), (kind, answer)
        assert canary["word"] not in json.dumps(socket.frames)


def test_no_frame_of_a_run_reaches_anybody_else(server):
    word = f"canary{uuid4().hex}"
    with (
        open_socket(server, "bob") as bob,
        open_socket(server, "carol") as carol,
        open_socket(server, "alice") as elsewhere,
        open_socket(server, "alice") as socket,
    ):
        ack = socket.ask("send_message", thread_id=None, text=f"hello {word}")
        socket.finish(ack["run_id"])
        for other in (bob, carol, elsewhere):
            other.ask("ping")
            assert word not in json.dumps(other.frames)
            assert not other.events(ack["run_id"])


def test_an_agent_of_another_tenant_sees_no_dataset(server, canary):
    with open_socket(server, "carol") as socket:
        refused = socket.ask("send_message", thread_id=None, text="Spend?", dataset_ids=[canary["dataset"]])
        assert refused["code"] == "not_found"
        ack = socket.ask("send_message", thread_id=None, text=f"What does {canary['dataset']} cost?")
        events = socket.finish(ack["run_id"])
        listed = next(event for event in events if event["type"] == "tool_completed")
        own = {card["id"] for card in listed["data"]["result"]["datasets"]}
        assert canary["dataset"] not in own


def test_the_admin_is_closed_to_a_tenants_people(server):
    for username in ("alice", "carol"):
        with httpx.Client(base_url=server.url, follow_redirects=True) as browser:
            page = browser.get("/accounts/login/")
            token = browser.cookies["csrftoken"]
            assert page.status_code == 200
            browser.post(
                "/accounts/login/",
                data={"login": username, "password": "netra-demo", "csrfmiddlewaretoken": token},
                headers={"Referer": server.url},
            )
            assert "sessionid" in browser.cookies
            for address in ("/admin/", "/admin/contexts/tenant/", "/admin/agents/run/"):
                assert browser.get(address).url.path.startswith("/admin/login")
