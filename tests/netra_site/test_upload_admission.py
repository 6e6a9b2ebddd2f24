import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from rest_framework_simplejwt.tokens import AccessToken

from agents.models import Dataset
from contexts.database import call_in_thread
from contexts.leases import get_lease_keeper
from contexts.models import (
    AuditEntry,
    Membership,
    QuotaReservation,
    QuotaUsage,
    Role,
    Tenant,
    TierLimit,
    User,
)
from contexts.quotas import expire_quotas
from netra_site.asgi import application
from tests.factories import Cast, make_cast

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.mission_critical("P4")]
PATH = "/api/v1/datasets"
ROW = b"2023-11-16 18:15:46.6805900,374,44\n"
TRACE = b"TIMESTAMP,ContextTokens,GeneratedTokens\n" + ROW
# Far larger than what is stored of it.
LONG_TRACE = TRACE + 3_000 * ROW


@pytest.fixture
def cast(transactional_db: None) -> Cast:
    return make_cast()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, settings: Any) -> Path:
    settings.DATASET_DIR = tmp_path / "datasets"
    return tmp_path / "datasets"


def bearer(user: User) -> tuple[bytes, bytes]:
    return b"authorization", f"Bearer {AccessToken.for_user(user)}".encode()


def form(content: bytes) -> bytes:
    """Return a multipart body with one file."""
    return (
        b'--edge\r\nContent-Disposition: form-data; name="file"; filename="calls.csv"\r\n'
        b"Content-Type: text/csv\r\n\r\n" + content + b"\r\n--edge--\r\n"
    )


class Exchange:
    """One request, its body in pieces that are handed out when they are asked for, and its answer."""

    def __init__(self, *headers: tuple[bytes, bytes], pieces: list[bytes], path: str = PATH) -> None:
        self.scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "path": path,
            "query_string": b"",
            "headers": [
                (b"host", b"testserver"),
                (b"content-type", b"multipart/form-data; boundary=edge"),
                *headers,
            ],
        }
        self._pieces = pieces
        self.received = 0
        self.arrived = asyncio.Event()
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.disconnected = asyncio.Event()
        self.sent: list[dict[str, Any]] = []

    async def receive(self) -> dict[str, Any]:
        self.arrived.set()
        await self.may_go_on.wait()
        if self.received == len(self._pieces):
            await self.disconnected.wait()
        if self.disconnected.is_set():
            return {"type": "http.disconnect"}
        piece = self._pieces[self.received]
        self.received += 1
        return {
            "type": "http.request",
            "body": piece,
            "more_body": self.received < len(self._pieces),
        }

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    async def run(self) -> "Exchange":
        await application(self.scope, self.receive, self.send)
        return self

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def answer(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(b"".join(message.get("body", b"") for message in self.sent[1:]))
        return answer

    @property
    def headers(self) -> dict[bytes, bytes]:
        return {name.lower(): value for name, value in self.sent[0]["headers"]}


def upload(user: User, body: bytes, **fields: Any) -> Exchange:
    length = (b"content-length", str(len(body)).encode())
    return Exchange(bearer(user), length, pieces=[body[:100], body[100:]], **fields)


def storage(user: User) -> tuple[int, int]:
    """Return the bytes that the user has used and reserved."""
    rows = QuotaUsage.objects.filter(user=user, resource="storage_bytes").values_list("used", "reserved")
    return tuple(map(int, rows[0])) if rows else (0, 0)  # type: ignore[return-value]


def limit_storage(tenant: Tenant, limit: int) -> None:
    TierLimit.objects.filter(tier=tenant.tier, resource="storage_bytes").update(limit=limit)


async def test_an_upload_counts_as_what_is_stored_of_it(cast: Cast) -> None:
    exchange = await upload(cast.alice, form(LONG_TRACE)).run()
    assert exchange.status == 201, exchange.answer
    assert await call_in_thread(storage, cast.alice) == (exchange.answer["stored_bytes"], 0)
    assert not await call_in_thread(QuotaReservation.objects.exists)
    assert len(get_lease_keeper()) == 0


async def test_an_upload_is_set_aside_while_it_arrives(cast: Cast) -> None:
    body = form(LONG_TRACE)
    exchange = upload(cast.alice, body)
    exchange.may_go_on.clear()
    task = asyncio.create_task(exchange.run())
    await exchange.arrived.wait()
    assert await call_in_thread(storage, cast.alice) == (0, len(body))
    reservation = await call_in_thread(QuotaReservation.objects.get)
    assert (reservation.purpose, reservation.user_id) == ("upload", cast.alice.id)
    assert get_lease_keeper().drop(reservation.id)
    exchange.may_go_on.set()
    await task
    assert exchange.status == 201


async def test_what_there_is_no_room_for_is_refused_unread(cast: Cast) -> None:
    body = form(LONG_TRACE)
    await call_in_thread(limit_storage, cast.globex, len(body) - 1)
    exchange = await upload(cast.carol, body).run()
    assert (exchange.status, exchange.received) == (429, 0)
    assert exchange.headers[b"content-type"] == b"application/problem+json"
    assert exchange.headers[b"retry-after"] == b"60"
    problem = exchange.answer
    assert (problem["code"], problem["resource"], problem["limit"], problem["resets_at"]) == (
        "quota_exceeded",
        "storage_bytes",
        len(body) - 1,
        None,
    )
    assert await call_in_thread(storage, cast.carol) == (0, 0)
    refusal = await call_in_thread(AuditEntry.objects.get, action="quota_refused")
    assert (refusal.user_id, refusal.details["amount"]) == (cast.carol.id, len(body))


async def test_of_two_uploads_for_the_last_bytes_one_wins(cast: Cast) -> None:
    body = form(LONG_TRACE)
    await call_in_thread(limit_storage, cast.globex, 2 * len(body) - 1)
    exchanges = [upload(cast.carol, body) for _ in range(4)]
    for exchange in exchanges:
        exchange.may_go_on.clear()
    tasks = [asyncio.create_task(exchange.run()) for exchange in exchanges]
    # The refused end by themselves; the one that was admitted waits for its body.
    done, waiting = await asyncio.wait(tasks, timeout=1)
    while len(done) < 3:
        done, waiting = await asyncio.wait(tasks, timeout=1)
    assert len(waiting) == 1
    for exchange in exchanges:
        exchange.may_go_on.set()
    await asyncio.gather(*tasks)
    assert sorted(exchange.status for exchange in exchanges) == [201, 429, 429, 429]
    assert sorted(exchange.received for exchange in exchanges) == [0, 0, 0, 2]
    assert await call_in_thread(Dataset.objects.count) == 1


async def test_more_than_was_stated_is_not_taken(cast: Cast) -> None:
    body = form(TRACE)
    exchange = Exchange(bearer(cast.alice), (b"content-length", b"50"), pieces=[body, b"never read"])
    await exchange.run()
    assert (exchange.status, exchange.received) == (413, 1)
    assert await call_in_thread(storage, cast.alice) == (0, 0)


@pytest.mark.parametrize(
    "length", [(b"transfer-encoding", b"chunked"), (b"content-length", b"many")], ids=["chunked", "no number"]
)
async def test_an_upload_of_unknown_length_is_refused_unread(cast: Cast, length: tuple[bytes, bytes]) -> None:
    exchange = await Exchange(bearer(cast.alice), length, pieces=[form(TRACE)]).run()
    assert (exchange.status, exchange.received) == (400, 0)
    assert exchange.answer["code"] == "invalid_request"


@pytest.mark.parametrize(
    "headers", [[], [(b"authorization", b"Bearer forged")], [(b"cookie", b"sessionid=forged")]]
)
async def test_nothing_of_a_stranger_is_read(cast: Cast, headers: list[tuple[bytes, bytes]]) -> None:
    exchange = await Exchange(*headers, (b"content-length", b"300"), pieces=[b"x" * 300]).run()
    assert (exchange.status, exchange.received) == (401, 0)
    assert exchange.headers[b"www-authenticate"] == b'Bearer realm="api"'
    assert exchange.answer["code"] == "not_authenticated"


async def test_those_who_may_not_upload_are_refused_unread(cast: Cast) -> None:
    await call_in_thread(Membership.objects.filter(user=cast.bob).update, role=Role.VIEWER)
    await call_in_thread(Tenant.objects.filter(id=cast.globex.id).update, is_active=False)
    for user in (cast.bob, cast.carol):
        exchange = await upload(user, form(TRACE)).run()
        assert (exchange.status, exchange.received) == (403, 0)
        assert exchange.answer["code"] == "permission_denied"
    await call_in_thread(User.objects.filter(id=cast.alice.id).update, is_active=False)
    assert (await upload(cast.alice, form(TRACE)).run()).status == 401


async def test_a_session_uploads_too(cast: Cast) -> None:
    client = Client()
    await call_in_thread(client.force_login, cast.alice, "django.contrib.auth.backends.ModelBackend")
    session = client.cookies["sessionid"].value
    token = "c" * 32
    body = form(TRACE)
    headers = [
        (b"cookie", f"sessionid={session}; csrftoken={token}".encode()),
        (b"content-length", str(len(body)).encode()),
    ]
    assert (await Exchange(*headers, (b"x-csrftoken", token.encode()), pieces=[body]).run()).status == 201
    exchange = await Exchange(*headers, pieces=[body]).run()
    assert (exchange.status, exchange.answer["code"]) == (403, "permission_denied")
    used, reserved = await call_in_thread(storage, cast.alice)
    assert used > 0
    assert reserved == 0


async def test_a_file_that_is_no_log_gives_back_what_was_set_aside(cast: Cast) -> None:
    exchange = await upload(cast.alice, form(b"a,b\n1,2\n")).run()
    assert exchange.status == 400
    assert await call_in_thread(storage, cast.alice) == (0, 0)
    assert not await call_in_thread(QuotaReservation.objects.exists)
    assert len(get_lease_keeper()) == 0


async def test_an_upload_that_breaks_off_gives_back_what_was_set_aside(cast: Cast) -> None:
    exchange = upload(cast.alice, form(TRACE))
    exchange.may_go_on.clear()
    task = asyncio.create_task(exchange.run())
    await exchange.arrived.wait()
    exchange.disconnected.set()
    exchange.may_go_on.set()
    await task
    assert await call_in_thread(storage, cast.alice) == (0, 0)
    assert not await call_in_thread(QuotaReservation.objects.exists)
    assert len(get_lease_keeper()) == 0


async def test_a_small_log_whose_stored_form_is_larger_does_not_overrun(cast: Cast) -> None:
    body = form(TRACE)
    await call_in_thread(limit_storage, cast.globex, len(body))
    exchange = await upload(cast.carol, body).run()
    assert (exchange.status, exchange.answer["resource"]) == (429, "storage_bytes")
    assert await call_in_thread(storage, cast.carol) == (0, 0)
    assert not await call_in_thread(Dataset.objects.exists)
    await call_in_thread(limit_storage, cast.globex, 20_000)
    assert (await upload(cast.carol, body).run()).status == 201


async def test_an_upload_whose_reservation_was_lost_is_counted_all_the_same(cast: Cast) -> None:
    exchange = upload(cast.alice, form(LONG_TRACE))
    exchange.may_go_on.clear()
    task = asyncio.create_task(exchange.run())
    await exchange.arrived.wait()
    reservation = await call_in_thread(QuotaReservation.objects.get)
    await call_in_thread(QuotaReservation.objects.update, expires_at="2026-01-01T00:00:00Z")
    assert await call_in_thread(expire_quotas, tenant_id=reservation.tenant_id) == 1
    exchange.may_go_on.set()
    await task
    assert exchange.status == 201
    assert await call_in_thread(storage, cast.alice) == (exchange.answer["stored_bytes"], 0)


async def test_other_addresses_take_less(cast: Cast) -> None:
    length = (b"content-length", b"2000001")
    exchange = Exchange(bearer(cast.alice), length, pieces=[b""], path="/api/v1/threads")
    await exchange.run()
    assert (exchange.status, exchange.received) == (413, 0)
