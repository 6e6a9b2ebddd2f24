"""Open sockets when operators change what their users may do: at once, and nobody else's."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from contexts.context import UserExecutionContext
from contexts.database import call_in_thread
from contexts.manager import get_context_manager
from contexts.models import (
    AppliesTo,
    ContextRecord,
    Membership,
    QuotaGrant,
    QuotaOverride,
    Role,
    Tenant,
    Tier,
    TierLimit,
    User,
)
from contexts.windows import EPOCH
from realtime import open_socket as open_socket_module
from realtime.review import get_socket_review
from tests.factories import Cast, make_tenant, make_user
from tests.realtime.sockets import OpenSocket, Socket
from tests.waiting import eventually

pytestmark = pytest.mark.mission_critical("P7")


def override(tenant: Tenant, limit: int, *, user: User | None = None, **fields: Any) -> QuotaOverride:
    return QuotaOverride.objects.create(
        tenant=tenant,
        user=user,
        resource="websocket_connections",
        limit=limit,
        reason="A test.",
        **fields,
    )


def move(tenant: Tenant, slug: str) -> None:
    tenant.tier = Tier.objects.get(slug=slug)
    tenant.save()


async def contexts_of(user: User, **expected: str) -> list[UserExecutionContext]:
    """Return the contexts of the user's sockets here, the oldest first, once all are as expected."""

    def current() -> list[UserExecutionContext]:
        contexts = [place.connection.context for place in list(review._places)]
        return sorted(
            (each for each in contexts if each.user_id == user.id), key=lambda each: each.created_at
        )

    def are_as_expected() -> bool:
        return all(getattr(each, name) == expected[name] for each in current() for name in expected)

    review = get_socket_review()
    await eventually(are_as_expected)
    return current()


async def change(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Have an operator change something, in a transaction of its own."""
    return await call_in_thread(function, *args, **kwargs)


async def updates(socket: Socket) -> dict[str, dict[str, Any]]:
    """Return the quotas that a socket is told next, by resource."""
    found: dict[str, dict[str, Any]] = {}
    while "retention_days" not in found:
        frame = await socket.receive()
        assert frame["type"] in {"quota_updated", "quota_warning"}, frame
        found[frame["resource"]] = frame
    return found


async def test_a_lowered_override_closes_the_newest_sockets_beyond_it(
    cast: Cast, open_socket: OpenSocket
) -> None:
    sockets = [await open_socket(cast.alice) for _ in range(4)]
    bobs = await open_socket(cast.bob)
    await change(override, cast.acme, 2, user=cast.alice)
    assert await sockets[3].close_code() == 4429
    assert await sockets[2].close_code() == 4429
    for socket in sockets[:2]:
        assert (await updates(socket))["websocket_connections"]["limit"] == 2
        assert await socket.hears_nothing()
    # It was hers alone, so bob is not even told.
    assert await bobs.hears_nothing()


async def test_a_limit_of_the_whole_tenant_closes_its_newest_sockets(
    cast: Cast, open_socket: OpenSocket
) -> None:
    first = await open_socket(cast.alice)
    second = await open_socket(cast.bob)
    third = await open_socket(cast.alice)
    carols = await open_socket(cast.carol)
    await change(override, cast.acme, 2, applies_to=AppliesTo.TENANT)
    assert await third.close_code() == 4429
    for socket in (first, second):
        assert await updates(socket)
    assert await carols.hears_nothing()


async def test_a_tenant_moved_to_a_smaller_tier_keeps_its_oldest_sockets(
    cast: Cast, open_socket: OpenSocket
) -> None:
    sockets = [await open_socket(cast.alice) for _ in range(3)]
    old = (await contexts_of(cast.alice))[0]
    await change(move, cast.acme, "free")
    assert await sockets[2].close_code() == 4429
    for socket in sockets[:2]:
        told = await updates(socket)
        assert (told["agent_runs"]["limit"], told["websocket_connections"]["limit"]) == (10, 2)
    for socket in sockets[:2]:
        assert await socket.hears_nothing()
    await contexts_of(cast.alice, tier="free")
    await eventually(lambda: not get_context_manager().is_open(old))
    # What closes with the socket is the new one.
    await sockets[0].leave()
    await sockets[1].leave()
    records = ContextRecord.objects.filter(user=cast.alice, operation="socket", closed_at=None)
    assert await call_in_thread(records.count) == 0


async def test_a_tenant_moved_to_a_larger_tier_may_open_more_at_once(
    cast: Cast, open_socket: OpenSocket
) -> None:
    sockets = [await open_socket(cast.carol) for _ in range(2)]
    await change(move, cast.globex, "early")
    for socket in sockets:
        assert (await updates(socket))["websocket_connections"]["limit"] == 5
    await open_socket(cast.carol)


async def test_a_tiers_changed_limit_reaches_its_tenants_alone(cast: Cast, open_socket: OpenSocket) -> None:
    sockets = [await open_socket(cast.carol) for _ in range(2)]
    alices = await open_socket(cast.alice)
    limits = TierLimit.objects.filter(tier__slug="free", resource="websocket_connections")
    await change(limits.update, limit=1)
    assert await sockets[1].close_code() == 4429
    assert (await updates(sockets[0]))["websocket_connections"]["limit"] == 1
    assert await alices.hears_nothing()


async def test_a_tiers_deleted_limit_falls_back_to_the_safe_default(
    cast: Cast, open_socket: OpenSocket
) -> None:
    sockets = [await open_socket(cast.alice) for _ in range(3)]
    await change(TierLimit.objects.filter(tier__slug="enterprise").delete)
    assert await sockets[2].close_code() == 4429
    assert (await updates(sockets[0]))["websocket_connections"]["limit"] == 2


async def test_a_grant_is_told_to_the_tenant(cast: Cast, open_socket: OpenSocket) -> None:
    socket, alices = await open_socket(cast.carol), await open_socket(cast.alice)
    await change(
        QuotaGrant.objects.create,
        tenant=cast.globex,
        resource="storage_bytes",
        amount=1_000,
        window_start=EPOCH,
        reason="A test.",
    )
    assert (await updates(socket))["storage_bytes"]["limit"] == 50_001_000
    assert await alices.hears_nothing()


async def revoked(socket: Socket) -> None:
    """Check that a socket is told of its revocation and then closed."""
    frame = (await socket.receive_until("session_revoked"))[-1]
    assert frame["reason"]
    assert await socket.close_code() == 4401


async def test_a_deactivated_users_sockets_are_revoked(cast: Cast, open_socket: OpenSocket) -> None:
    sockets = [await open_socket(cast.alice) for _ in range(2)]
    bobs = await open_socket(cast.bob)
    await change(User.objects.filter(id=cast.alice.id).update, is_active=False)
    for socket in sockets:
        await revoked(socket)
    assert await bobs.hears_nothing()


@pytest.mark.parametrize("leave", ["left", "deleted", "suspended"])
async def test_whoever_loses_membership_or_tenant_is_revoked(
    cast: Cast, open_socket: OpenSocket, leave: str
) -> None:
    alices, bobs = await open_socket(cast.alice), await open_socket(cast.bob)
    carols = await open_socket(cast.carol)
    steps: dict[str, Callable[[], Any]] = {
        "left": Membership.objects.filter(user=cast.bob).delete,
        "deleted": cast.bob.delete,
        "suspended": lambda: Tenant.objects.filter(id=cast.acme.id).update(is_active=False),
    }
    await change(steps[leave])
    await revoked(bobs)
    if leave == "suspended":
        await revoked(alices)
    else:
        assert await alices.hears_nothing()
    assert await carols.hears_nothing()


async def test_a_member_of_two_tenants_who_leaves_one_is_revoked_there(
    cast: Cast, open_socket: OpenSocket
) -> None:
    await call_in_thread(Membership.objects.create, tenant=cast.globex, user=cast.bob)
    socket = await open_socket(cast.bob)
    await change(Membership.objects.filter(user=cast.bob, tenant=cast.acme).delete)
    await revoked(socket)
    again = await Socket(**socket_of(socket)).connect()
    assert (await again.receive())["tenant_id"] == str(cast.globex.id)
    await again.leave()


def socket_of(socket: Socket) -> dict[str, Any]:
    """Return the sign-in of a socket, to open another with it."""
    return {"subprotocols": socket.communicator.scope["subprotocols"]}


async def test_a_new_role_holds_at_once_and_the_socket_stays(cast: Cast, open_socket: OpenSocket) -> None:
    socket = await open_socket(cast.bob)
    await change(Membership.objects.filter(user=cast.bob).update, role=Role.VIEWER)
    await contexts_of(cast.bob, role=Role.VIEWER)
    assert (await socket.ask(type="send_message", text="Hello"))["code"] == "permission_denied"
    assert await socket.hears_nothing()


async def test_a_socket_with_a_renewed_context_is_still_quarantined(
    cast: Cast, open_socket: OpenSocket
) -> None:
    socket = await open_socket(cast.bob)
    await change(Membership.objects.filter(user=cast.bob).update, role=Role.ADMIN)
    (context,) = await contexts_of(cast.bob, role=Role.ADMIN)
    await call_in_thread(get_context_manager().quarantine, context.context_id, "on purpose")
    assert await socket.close_code() == 4403


async def test_an_override_that_ends_by_the_clock_is_noticed(
    cast: Cast, open_socket: OpenSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without a word from the database: only the clock tells.
    monkeypatch.setattr("contexts.changes.CHANNEL", "nothing_is_told_here")
    monkeypatch.setattr("realtime.review.REVIEW_SECONDS", 0.05)
    row = await call_in_thread(override, cast.globex, 3, expires_at=timezone.now() + timedelta(hours=1))
    sockets = [await open_socket(cast.carol) for _ in range(3)]
    row.expires_at = timezone.now()
    await change(row.save)
    assert await sockets[2].close_code() == 4429
    assert await sockets[0].hears_nothing()


async def test_nobody_learns_of_another_tenants_changes(cast: Cast, open_socket: OpenSocket) -> None:
    initech = await call_in_thread(make_tenant, "initech", "free")
    dave = await call_in_thread(make_user, "dave", initech)
    socket, carols = await open_socket(dave), await open_socket(cast.carol)
    await change(move, initech, "mid")
    told = json.dumps(await updates(socket))
    assert str(dave.id) in told
    assert str(cast.carol.id) not in told
    assert await carols.hears_nothing()


async def test_nothing_listens_when_the_last_socket_is_gone(cast: Cast, open_socket: OpenSocket) -> None:
    sockets = [await open_socket(cast.alice), await open_socket(cast.carol)]
    review = get_socket_review()
    await sockets[0].leave()
    assert review._subscriptions
    await sockets[1].leave()
    assert (review._subscriptions, review._places, review._clock) == ([], set(), None)


async def test_a_change_while_a_socket_opens_is_not_missed(
    cast: Cast, open_socket: OpenSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The account is deactivated after its standing was read, before the socket is looked after."""
    other = await open_socket(cast.carol)
    review = get_socket_review()
    open_in_batches = open_socket_module._open_in_batches

    async def open_late(wanted: Any) -> Any:
        since = review._heard
        opened = await open_in_batches(wanted)
        await change(User.objects.filter(id=cast.alice.id).update, is_active=False)
        await eventually(lambda: review._heard > since)
        return opened

    monkeypatch.setattr(open_socket_module, "_open_in_batches", open_late)
    socket = await open_socket(cast.alice)
    await revoked(socket)
    assert await other.hears_nothing()
