"""What users are told of their quotas: after a change of any kind, and of a soft limit once."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from contexts.database import call_in_thread
from contexts.exceptions import UnavailableError
from contexts.identifiers import new_id
from contexts.models import Membership
from contexts.quotas import use_quota
from contexts.reports import QuotaResult
from contexts.rights import Member
from contexts.selectors import standing_of
from contexts.signals import quotas_changed
from realtime import quota_reports
from realtime.quota_frames import SoftLimitMemory, quota_frames
from realtime.quota_reports import flush_quota_reports
from tests.factories import Cast, make_user
from tests.realtime.sockets import OpenSocket

STORAGE = ("storage_bytes",)


def change(cast: Cast, amount: int, resources: tuple[str, ...] = STORAGE) -> None:
    """Use some of carol's storage and say so, as a service does after its commit."""
    use_quota(standing_of(cast.carol.id), {"storage_bytes": amount})
    tell(cast, resources)


def tell(cast: Cast, resources: tuple[str, ...] = STORAGE) -> None:
    quotas_changed.send(sender=None, user_id=cast.carol.id, tenant_id=cast.globex.id, resources=resources)


async def test_a_changed_quota_reaches_its_users_sockets_alone(cast: Cast, open_socket: OpenSocket) -> None:
    sockets = [await open_socket(cast.carol) for _ in range(2)]
    alices = await open_socket(cast.alice)
    await call_in_thread(change, cast, 1_000)
    for socket in sockets:
        frame = await socket.receive()
        assert (frame["type"], frame["resource"]) == ("quota_updated", "storage_bytes")
        assert (frame["used"], frame["limit"]) == (1_000, 50_000_000)
        assert await socket.hears_nothing()
    assert await alices.hears_nothing()


async def test_changes_in_a_quick_row_are_reported_from_coroutines(
    cast: Cast, open_socket: OpenSocket
) -> None:
    socket = await open_socket(cast.carol)
    tell(cast, ("agent_runs",))
    tell(cast, STORAGE)
    tell(cast, ("agent_runs",))
    await flush_quota_reports()
    told = [(await socket.receive())["resource"] for _ in range(2)]
    assert told == ["agent_runs", "storage_bytes"]
    assert await socket.hears_nothing()
    assert quota_reports._pending == {}


async def test_what_was_collected_is_told_by_itself_and_with_the_end_of_a_run(
    cast: Cast, open_socket: OpenSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    socket = await open_socket(cast.carol)
    tell(cast)
    assert (await socket.receive())["resource"] == "storage_bytes"
    await flush_quota_reports()
    # From here on nothing is told by itself.
    monkeypatch.setattr(quota_reports, "COLLECTED_SECONDS", 3_600)
    tell(cast)
    quota_reports.report_soon(Member(tenant_id=cast.globex.id, user_id=cast.carol.id), ("agent_runs",))
    assert [(await socket.receive())["resource"] for _ in range(2)] == ["agent_runs", "storage_bytes"]


async def test_a_soft_limit_is_warned_of_once_and_again_after_it_was_left(
    cast: Cast, open_socket: OpenSocket
) -> None:
    socket = await open_socket(cast.carol)

    async def told_after(amount: int) -> list[str]:
        await call_in_thread(change, cast, amount)
        await socket.send(type="ping", id="end")
        return [frame["type"] for frame in await socket.receive_until("pong")]

    assert await told_after(39_999_999) == ["quota_updated", "pong"]
    assert await told_after(1) == ["quota_updated", "quota_warning", "pong"]
    assert await told_after(1_000) == ["quota_updated", "pong"]


async def test_nothing_is_told_of_a_tenant_that_was_left(
    cast: Cast, open_socket: OpenSocket, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    dave = await call_in_thread(make_user, "dave", cast.acme)
    await call_in_thread(Membership.objects.create, user=dave, tenant=cast.globex)
    socket = await open_socket(dave)
    await quota_reports.report_quotas(Member(tenant_id=cast.globex.id, user_id=dave.id), STORAGE)
    assert await socket.hears_nothing()
    assert "act for another tenant" in caplog.text


async def test_a_report_that_cannot_be_made_is_logged(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise UnavailableError("The database does not answer now.")

    monkeypatch.setattr("realtime.quota_reports.quota_frames", fail)
    tell(cast)
    await flush_quota_reports()
    assert "could not be reported" in caplog.text


def quota(used: int, *, resource: str = "tokens", day: int = 1) -> QuotaResult:
    end = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=day)
    return QuotaResult(
        resource=resource,
        window="day",
        limit=Decimal(10),
        used=Decimal(used),
        soft_limit=Decimal(8),
        resets_at=end,
    )


@pytest.mark.unit
def test_each_crossing_is_remembered_by_member_resource_and_window() -> None:
    memory = SoftLimitMemory(capacity=3)
    owner = Member(tenant_id=new_id(), user_id=new_id())
    assert not memory.is_new(owner, quota(7))
    assert memory.is_new(owner, quota(8))
    assert not memory.is_new(owner, quota(9))
    assert memory.is_new(owner, quota(9, resource="agent_runs"))
    assert memory.is_new(Member(tenant_id=owner.tenant_id, user_id=new_id()), quota(9))
    assert memory.is_new(owner, quota(9, day=2)), "another window"
    assert not memory.is_new(owner, quota(7, day=2))
    assert memory.is_new(owner, quota(8, day=2)), "crossed again"
    assert memory.is_new(owner, quota(9, resource="cpu_seconds"))
    assert len(memory._warned) == 3


async def test_leases_are_told_but_not_warned_of(cast: Cast) -> None:
    def frames() -> list[str]:
        standing = standing_of(cast.carol.id)
        use_quota(standing, {"messages": 29})
        return [frame.type for frame in quota_frames(standing, ["messages", "concurrent_runs"])]  # type: ignore[attr-defined]

    assert await call_in_thread(frames) == ["quota_updated", "quota_updated"]
