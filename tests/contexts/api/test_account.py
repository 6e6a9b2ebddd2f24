from datetime import UTC, datetime

import pytest

from contexts.factory import UserContextFactory, managed_user_context
from contexts.models import AuditEntry, Role
from contexts.quotas import use_quota
from tests.clients import assert_problem, client_of
from tests.factories import Cast, make_user

AUDIT = "/api/v1/audit"


def _entry(cast: Cast, action: str) -> None:
    AuditEntry.objects.create(tenant=cast.acme, user=cast.bob, action=action)


def test_me_tells_who_and_where(cast: Cast) -> None:
    assert client_of(cast.alice).get("/api/v1/me").json() == {
        "id": str(cast.alice.id),
        "username": "alice",
        "email": "",
        "name": "",
        "role": "owner",
        "tier": "enterprise",
        "tenant": {"id": str(cast.acme.id), "slug": "acme", "name": "Acme"},
    }


def test_answers_are_not_kept_by_caches(cast: Cast) -> None:
    assert client_of(cast.alice).get("/api/v1/me")["Cache-Control"] == "no-store"


def test_quotas_tell_what_is_left(cast: Cast) -> None:
    with managed_user_context(UserContextFactory().for_request(cast.carol.id)) as context:
        use_quota(context, {"agent_runs": 3}, now=datetime.now(UTC))
    quotas = {row["resource"]: row for row in client_of(cast.carol).get("/api/v1/quotas").json()}
    runs = quotas["agent_runs"]
    resets_at = datetime.fromisoformat(runs.pop("resets_at"))
    assert resets_at.utcoffset() is not None
    assert resets_at > datetime.now(UTC)
    assert runs == {
        "resource": "agent_runs",
        "window": "day",
        "limit": 10,
        "used": 3,
        "reserved": 0,
        "remaining": 7,
        "soft_limit": 8,
    }
    assert quotas["cost_usd"]["limit"] == "1.00"
    assert quotas["concurrent_runs"]["resets_at"] is None
    assert quotas["memory_bytes"]["limit"] == 256 * 2**20


def test_a_team_mates_use_is_not_mine(cast: Cast) -> None:
    with managed_user_context(UserContextFactory().for_request(cast.alice.id)) as context:
        use_quota(context, {"agent_runs": 3}, now=datetime.now(UTC))
    quotas = {row["resource"]: row for row in client_of(cast.bob).get("/api/v1/quotas").json()}
    assert quotas["agent_runs"]["used"] == 0


@pytest.mark.parametrize("role", [Role.OWNER, Role.ADMIN])
def test_those_who_run_a_tenant_read_its_audit(cast: Cast, role: str) -> None:
    _entry(cast, "run_started")
    reader = make_user("reader", cast.acme, role)
    (entry,) = client_of(reader).get(AUDIT).json()["results"]
    assert (entry["action"], entry["user_id"]) == ("run_started", str(cast.bob.id))


@pytest.mark.parametrize("role", [Role.MEMBER, Role.VIEWER])
def test_members_do_not_read_the_audit(cast: Cast, role: str) -> None:
    assert_problem(client_of(make_user("reader", cast.acme, role)).get(AUDIT), 403, "permission_denied")


def test_an_outsider_sees_nothing_of_the_audit(cast: Cast) -> None:
    _entry(cast, "run_started")
    outsider = make_user("dave", cast.globex, Role.OWNER)
    assert client_of(outsider).get(AUDIT).json()["results"] == []


def test_pages_go_through_all_entries_once_and_back(cast: Cast) -> None:
    for number in range(7):
        _entry(cast, f"action_{number}")
    client = client_of(cast.alice)
    seen: list[str] = []
    address: str | None = f"{AUDIT}?page_size=3"
    while address:
        page = client.get(address).json()
        assert set(page) == {"next", "previous", "results"}
        seen += [entry["action"] for entry in page["results"]]
        # New rows do not shift the pages that follow.
        _entry(cast, "late")
        last, address = page, page["next"]
    assert seen == [f"action_{number}" for number in reversed(range(7))]
    back = client.get(last["previous"]).json()["results"]
    assert [entry["action"] for entry in back] == ["action_3", "action_2", "action_1"]
