from typing import Any
from uuid import uuid4

import pytest

from agents.models import Run, ToolCall
from tests.clients import assert_problem, client_of
from tests.factories import Cast, make_event, make_run, make_thread


def _run_with_calls(cast: Cast) -> Run:
    """Return a run of alice's with a call that was cut, one that was not, and one under way."""
    run = make_run(make_thread(cast.alice))

    def event(seq: int, kind: str, call_id: str, **data: Any) -> None:
        data = {"call_id": call_id, "tool_name": "query_dataset", **data}
        make_event(run, seq, kind, agent_name="data", data=data)

    event(1, "tool_executing", "cut", params={"sql": "SELECT 1"})
    event(2, "tool_completed", "cut", ok=True, result=["a …"], duration_ms=5, is_cut=True)
    event(3, "tool_executing", "whole", params={"sql": "SELECT 2"})
    event(4, "tool_completed", "whole", ok=False, error={"code": "x", "message": "No."}, duration_ms=6)
    event(5, "tool_executing", "open", params={"sql": "S …"}, is_cut=True)
    owner = {"run": run, "tenant_id": run.tenant_id, "user_id": run.user_id, "tool_name": "query_dataset"}
    ToolCall.objects.create(call_id="cut", params={"sql": "SELECT 1"}, result=["all of it"], **owner)
    ToolCall.objects.create(call_id="open", params={"sql": "SELECT 3"}, **owner)
    return run


def test_calls_are_shown_in_full_to_their_owner_alone(cast: Cast) -> None:
    run = _run_with_calls(cast)
    address = f"/api/v1/runs/{run.id}/calls"
    client = client_of(cast.alice)
    shown = client.get(f"{address}/cut").json()
    assert shown.pop("started_at").endswith("Z")
    assert shown == {
        "run_id": str(run.id),
        "call_id": "cut",
        "tool_name": "query_dataset",
        "agent_name": "data",
        "params": {"sql": "SELECT 1"},
        "ok": True,
        "result": ["all of it"],
        "error": None,
        "duration_ms": 5.0,
    }
    whole = client.get(f"{address}/whole").json()
    assert (whole["params"], whole["ok"]) == ({"sql": "SELECT 2"}, False)
    assert (whole["result"], whole["error"]) == (None, {"code": "x", "message": "No."})
    under_way = client.get(f"{address}/open").json()
    assert (under_way["params"], under_way["ok"]) == ({"sql": "SELECT 3"}, None)
    unknown = assert_problem(client.get(f"{address}/other"), 404, "not_found")
    assert_problem(client.get(f"/api/v1/runs/{uuid4()}/calls/cut"), 404, "not_found")
    for outsider in (cast.bob, cast.carol):
        refused = client_of(outsider).get(f"{address}/cut")
        assert_problem(refused, 404, "not_found")
        assert "all of it" not in refused.content.decode()
    assert unknown["detail"]


@pytest.mark.parametrize("call_id", ["%00", "a" * 300, "'%20OR%201=1"])
def test_an_odd_call_id_is_not_found(cast: Cast, call_id: str) -> None:
    run = _run_with_calls(cast)
    assert_problem(client_of(cast.alice).get(f"/api/v1/runs/{run.id}/calls/{call_id}"), 404, "not_found")
