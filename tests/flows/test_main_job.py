"""The main job, from outside: upload a log, ask, watch, and get priced recommendations."""

from decimal import Decimal

import pytest

from tests.flows.client import open_socket, upload

pytestmark = pytest.mark.e2e
QUESTION = "Where does our AI spend go, and how do we cut it?"
FIVE = ["agent_started", "agent_thinking", "tool_executing", "tool_completed", "agent_completed"]


def ask(server, dataset, question=QUESTION):
    with open_socket(server, "alice") as socket:
        ack = socket.ask("send_message", thread_id=None, text=question, dataset_ids=[dataset["id"]])
        assert ack["type"] == "ack", ack
        events = socket.finish(ack["run_id"])
        deltas = [frame for frame in socket.frames if frame["type"] == "message_delta"]
    return events, deltas


def test_the_conversation_trace_is_priced_and_recommendations_follow(server, logs):
    with server.client("alice") as client:
        dataset = upload(client, logs / "azure_llm_trace_2023_conv.csv", assume_model="gpt-4o")
    assert dataset["requests"] == 19_366
    events, deltas = ask(server, dataset)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    first = [next(event["seq"] for event in events if event["type"] == name) for name in FIVE]
    assert first == sorted(first)
    last = events[-1]["data"]
    answer = last["final_response"]
    for figure in ("19,366", "22,361,870", "4,088,665", "$96.79", "$55.90", "$40.89"):
        assert figure in answer
    for cheaper_model in ("gpt-4o-mini", "gpt-4.1-nano"):
        assert cheaper_model in answer
    kinds = {item["kind"]: item for item in last["recommendations"]}
    assert Decimal(kinds["batch"]["saving_usd"]) == pytest.approx(Decimal("24.20"), abs=Decimal("0.01"))
    assert any("50" in sentence for sentence in kinds["batch"]["assumptions"])
    assert "<table>" in last["final_response_html"]
    assert "/api/v1/charts/" in last["final_response_html"]
    text = ""
    for delta in deltas:
        text = text[: delta["offset"]] + delta["text"]
    assert text == answer


def test_the_mooncake_trace_shows_what_a_prefix_cache_saves(server, logs):
    with server.client("alice") as client:
        dataset = upload(client, logs / "mooncake_conversation_trace.jsonl", assume_model="gpt-4o")
    events, _ = ask(server, dataset)
    answer = events[-1]["data"]["final_response"]
    for figure in ("$403.21", "$67.62", "54,098,411"):
        assert figure in answer
    kinds = {item["kind"]: item for item in events[-1]["data"]["recommendations"]}
    assert Decimal(kinds["prompt_caching"]["saving_usd"]).quantize(Decimal("0.01")) == Decimal("67.62")


def test_charts_are_for_their_owner_alone(server, logs):
    with server.client("alice") as client:
        dataset = upload(client, logs / "azure_llm_trace_2023_code.csv", assume_model="gpt-4o")
        events, _ = ask(server, dataset)
        drawn = [event for event in events if event["data"].get("tool_name") == "draw_charts"][-1]
        url = drawn["data"]["result"]["charts"][0]["url"]
        chart = client.get(url)
        assert chart.headers["content-type"].startswith("image/svg+xml")
        assert chart.text.startswith("<svg")
    for outsider in ("bob", "carol"):
        with server.client(outsider) as client:
            assert client.get(url).status_code == 404


def test_a_thread_remembers_and_lists_its_messages(server):
    with open_socket(server, "alice") as socket:
        first = socket.ask("send_message", thread_id=None, text="What can you do?")
        socket.finish(first["run_id"])
        second = socket.ask("send_message", thread_id=first["thread_id"], text="Hello again")
        socket.finish(second["run_id"])
    with server.client("alice") as client:
        messages = client.get(f"/api/v1/threads/{first['thread_id']}/messages").json()["results"]
    assert [message["author"] for message in messages] == ["user", "assistant", "user", "assistant"]
