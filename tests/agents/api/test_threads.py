from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from agents.models import Author, Run, RunStatus, Thread
from contexts.models import AuditEntry, QuotaUsage, Role
from tests.clients import assert_problem, client_of
from tests.factories import Cast, make_event, make_message, make_run, make_thread, make_user

THREADS = "/api/v1/threads"
QUESTION = {"text": "Where does our AI spend go?"}


def test_a_thread_is_begun_shown_renamed_and_deleted(cast: Cast) -> None:
    client = client_of(cast.alice)
    created = client.post(THREADS, {"title": "Spend"}, format="json")
    assert created.status_code == 201
    thread = created.json()
    assert set(thread) == {"id", "title", "created_at", "updated_at"}
    assert thread["created_at"].endswith("Z")
    address = f"{THREADS}/{thread['id']}"
    assert client.get(address).json() == thread
    assert client.patch(address, {"title": "Costs"}, format="json").json()["title"] == "Costs"
    assert client.get(THREADS).json()["results"][0]["title"] == "Costs"
    assert client.delete(address).status_code == 204
    assert_problem(client.get(address), 404, "not_found")


def test_a_thread_needs_no_title_and_no_body(cast: Cast) -> None:
    assert client_of(cast.alice).post(THREADS).json()["title"] == ""


def test_a_viewer_begins_nothing(cast: Cast) -> None:
    viewer = make_user("victor", cast.acme, Role.VIEWER)
    assert_problem(client_of(viewer).post(THREADS), 403, "permission_denied")


def test_threads_come_in_pages(cast: Cast) -> None:
    for number in range(5):
        make_thread(cast.alice, title=str(number))
    client = client_of(cast.alice)
    first = client.get(f"{THREADS}?page_size=2").json()
    second = client.get(first["next"]).json()
    third = client.get(second["next"]).json()
    titles = [row["title"] for page in (first, second, third) for row in page["results"]]
    assert titles == ["4", "3", "2", "1", "0"]
    assert third["next"] is None


OUTSIDERS: list[tuple[str, Callable[[Any, str], Any]]] = [
    ("read", lambda client, address: client.get(address)),
    ("rename", lambda client, address: client.patch(address, {"title": "mine"}, format="json")),
    ("delete", lambda client, address: client.delete(address)),
    ("messages", lambda client, address: client.get(f"{address}/messages")),
    ("ask", lambda client, address: client.post(f"{address}/runs", QUESTION, format="json")),
]


@pytest.mark.parametrize("who", ["bob", "carol"])
@pytest.mark.parametrize("attempt", [pair[1] for pair in OUTSIDERS], ids=[pair[0] for pair in OUTSIDERS])
def test_someone_elses_thread_does_not_exist(cast: Cast, who: str, attempt: Callable[..., Any]) -> None:
    thread = make_thread(cast.alice, title="Alice's")
    client = client_of(getattr(cast, who))
    problem = assert_problem(attempt(client, f"{THREADS}/{thread.id}"), 404, "not_found")
    absent = assert_problem(attempt(client, f"{THREADS}/{uuid4()}"), 404, "not_found")
    assert problem == absent
    assert Thread.objects.get().title == "Alice's"
    assert not Run.objects.exists()


@pytest.mark.parametrize("who", ["bob", "carol"])
def test_the_list_holds_ones_own_threads_only(cast: Cast, who: str) -> None:
    make_thread(cast.alice)
    assert client_of(getattr(cast, who)).get(THREADS).json()["results"] == []


def test_messages_come_in_order_and_answers_with_their_html(cast: Cast) -> None:
    thread = make_thread(cast.alice)
    run = make_run(thread)
    make_message(thread, "Why?", run=run)
    make_message(thread, "**Because.**", Author.ASSISTANT, run=run)
    answer = {"final_response_html": "<p>Because.</p>", "recommendations": [{"title": "Cache"}]}
    make_event(run, 1, "agent_completed", data=answer)
    question, reply = client_of(cast.alice).get(f"{THREADS}/{thread.id}/messages").json()["results"]
    assert set(question) == {"id", "author", "text", "html", "recommendations", "run_id", "created_at"}
    assert (question["text"], question["html"], question["recommendations"]) == ("Why?", None, [])
    assert (reply["author"], reply["text"], reply["run_id"]) == ("assistant", "**Because.**", str(run.id))
    assert (reply["html"], reply["recommendations"]) == ("<p>Because.</p>", [{"title": "Cache"}])


def test_a_question_starts_a_run(cast: Cast) -> None:
    client, thread = client_of(cast.alice), make_thread(cast.alice)
    response = client.post(f"{THREADS}/{thread.id}/runs", QUESTION, format="json")
    assert response.status_code == 202
    assert set(response.json()) == {"run_id"}
    run = client.get(f"/api/v1/runs/{response.json()['run_id']}").json()
    assert (run["status"], run["thread_id"], run["agent"]) == ("queued", str(thread.id), "")
    (event,) = client.get(f"/api/v1/runs/{run['id']}/events").json()["events"]
    assert (event["type"], event["seq"]) == ("run_queued", 1)


def test_the_same_idempotency_key_starts_one_run(cast: Cast) -> None:
    client, address = client_of(cast.alice), f"{THREADS}/{make_thread(cast.alice).id}/runs"
    key = {"Idempotency-Key": "once"}
    first = client.post(address, QUESTION, format="json", headers=key)
    second = client.post(address, QUESTION, format="json", headers=key)
    assert first.json() == second.json()
    assert Run.objects.count() == 1
    other = client.post(address, {"text": "Another"}, format="json", headers=key)
    assert_problem(other, 409, "conflict")


@pytest.mark.parametrize("key", ["", "k" * 201])
def test_an_unusable_idempotency_key_is_refused(cast: Cast, key: str) -> None:
    address = f"{THREADS}/{make_thread(cast.alice).id}/runs"
    response = client_of(cast.alice).post(address, QUESTION, format="json", headers={"Idempotency-Key": key})
    assert_problem(response, 400, "invalid_request")
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    "question",
    [
        {},
        {"text": ""},
        {"text": "  "},
        {"text": "x" * 20_000},
        {"text": "a\0b"},
        {"text": 7},
        {"text": "x", "agent": "nobody"},
        {"text": "x", "dataset_ids": ["seven"]},
        {"text": "x", "dataset_ids": "seven"},
        {"text": "x", "datasets": []},
    ],
    ids=["none", "empty", "blank", "long", "nul", "number", "agent", "ids", "no list", "unknown"],
)
def test_a_bad_question_is_refused_and_changes_nothing(cast: Cast, question: dict[str, Any]) -> None:
    thread = make_thread(cast.alice)
    response = client_of(cast.alice).post(f"{THREADS}/{thread.id}/runs", question, format="json")
    assert_problem(response, 400, "invalid_request")
    assert not Run.objects.exists()
    assert not QuotaUsage.objects.exists()


def test_a_used_up_quota_refuses_the_question(cast: Cast) -> None:
    client, thread = client_of(cast.carol), make_thread(cast.carol)
    cast.globex.tier.limits.filter(resource="agent_runs").update(limit=1)
    address = f"{THREADS}/{thread.id}/runs"
    assert client.post(address, QUESTION, format="json").status_code == 202
    response = client.post(address, QUESTION, format="json")
    problem = assert_problem(response, 429, "quota_exceeded")
    assert (problem["resource"], problem["limit"]) == ("agent_runs", 1)
    assert int(response["Retry-After"]) >= 1
    assert problem["resets_at"].endswith("Z")
    assert Run.objects.count() == 1
    assert AuditEntry.objects.filter(action="run_refused", user=cast.carol).count() == 1


def test_a_thread_with_a_run_under_way_is_not_deleted(cast: Cast) -> None:
    thread = make_thread(cast.alice)
    make_run(thread, status=RunStatus.QUEUED)
    assert_problem(client_of(cast.alice).delete(f"{THREADS}/{thread.id}"), 409, "conflict")
