"""Usage as a file: whose it has, that no cell is a formula, and that it comes in pieces."""

import csv
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Permission
from django.db import connections
from django.test import AsyncClient, Client
from django.utils import timezone

from contexts.models import AuditEntry, EntryKind, QuotaUsage, Role, Tenant, TierLimit, User
from contexts.quotas import give_back_quota, reserve_quota, use_quota
from contexts.scope import system_scope
from contexts.tenant_spending import spending_by_day
from contexts.usage_export import COLUMNS, Period, export_usage, safe_cell
from contexts.windows import window_start
from tests.contexts.admin.pages import Member, address, make_operator, signed_in
from tests.factories import Cast, make_cast, make_user

Lines = list[dict[str, str]]


def _lines(pieces: Iterable[str]) -> Lines:
    return list(csv.DictReader("".join(pieces).splitlines()))


def _exported(client: Client, action: str) -> Lines:
    answer: Any = client.get(address(Tenant, action))
    assert answer.status_code == 200
    assert answer.streaming
    assert answer["Content-Type"].startswith("text/csv")
    assert answer["Content-Disposition"].startswith('attachment; filename="usage-')
    return _lines(piece.decode() for piece in answer)


def test_the_current_windows_have_limits(support: Client, cast: Cast) -> None:
    TierLimit.objects.filter(tier=cast.globex.tier, resource="tokens").update(tenant_limit=90_000)
    carol = Member(cast.carol, cast.globex)
    carol.use(tokens=5, storage_bytes=6)
    reserve_quota(carol, {"tokens": 2}, purpose="run")
    use_quota(carol, {"tokens": 7}, now=timezone.now() - timedelta(days=1))
    lines = _exported(support, "export_current")
    today = f"{timezone.now():%Y-%m-%d}T00:00:00Z"
    expected = [
        ("globex", "free", "carol", "storage_bytes", "total", "", "6", "0", "0", "50000000"),
        ("globex", "free", "carol", "tokens", "day", today, "5", "0", "2", "50000"),
        ("globex", "free", "", "storage_bytes", "total", "", "6", "0", "0", ""),
        ("globex", "free", "", "tokens", "day", today, "5", "0", "2", "90000"),
    ]
    assert [tuple(line.values()) for line in lines] == expected
    assert tuple(lines[0]) == COLUMNS
    entry = AuditEntry.objects.get(action="usage_exported")
    assert entry.user == User.objects.get(username="sam")
    assert entry.details == {"period": "current", "tenants": 2}


def test_thirty_days_have_past_windows_without_limits(support: Client, cast: Cast) -> None:
    carol = Member(cast.carol, cast.globex)
    now = timezone.now()
    for back in (0, 29, 30):
        use_quota(carol, {"tokens": back + 1, "messages": 1}, now=now - timedelta(days=back))
    lines = [line for line in _exported(support, "export_month") if line["member"]]
    tokens = [(line["used"], line["limit"]) for line in lines if line["resource"] == "tokens"]
    assert tokens == [("30", ""), ("1", "50000")]
    # Of minutes only the last.
    assert [line["used"] for line in lines if line["resource"] == "messages"] == ["1"]


def test_what_was_reset_stands_beside_what_is_used(support: Client, cast: Cast) -> None:
    def reset(user: User, tenant: Tenant, resource: str, began_at: datetime) -> None:
        give_back_quota(
            tenant_id=tenant.pk,
            user_id=user.pk,
            resource=resource,
            amount=Decimal(1_000),
            window_start=began_at,
            kind=EntryKind.RESET,
        )

    now = timezone.now()
    today, month = window_start("day", now=now), window_start("month", now=now)
    carol = Member(cast.carol, cast.globex)
    # What was reset yesterday or by others is of other lines.
    use_quota(carol, {"tokens": 3}, now=today - timedelta(hours=1))
    reset(cast.carol, cast.globex, "tokens", today - timedelta(days=1))
    Member(cast.alice, cast.acme).use(tokens=70)
    reset(cast.alice, cast.acme, "tokens", today)
    dora = make_user("dora", cast.globex)
    Member(dora, cast.globex).use(tokens=100)
    reset(dora, cast.globex, "tokens", today)
    for used in (4, 6, 8):
        carol.use(tokens=used, cost_usd=Decimal("0.25"))
        if used < 8:
            reset(cast.carol, cast.globex, "tokens", today)
    reset(cast.carol, cast.globex, "cost_usd", month)

    def figures(action: str) -> list[tuple[str, ...]]:
        lines = [line for line in _exported(support, action) if line["tenant"] == "globex"]
        names = ("member", "resource", "used", "reset")
        return sorted(tuple(line[name] for name in names) for line in lines)

    current = [
        ("", "cost_usd", "0", "0.75"),
        ("", "tokens", "8", "110"),
        ("carol", "cost_usd", "0", "0.75"),
        ("carol", "tokens", "8", "10"),
        ("dora", "tokens", "0", "100"),
    ]
    assert figures("export_current") == current
    yesterday = [("", "tokens", "0", "3"), ("carol", "tokens", "0", "3")]
    assert figures("export_month") == sorted(current + yesterday)
    with system_scope("test"):
        charted = spending_by_day(cast.globex.pk, now=now)["tokens"]
    assert charted[today.date()] == 118


def test_staff_export_their_own_tenants_only(cast: Cast) -> None:
    Member(cast.alice, cast.acme).use(tokens=1)
    Member(cast.carol, cast.globex).use(tokens=2)
    greta = make_user("greta", cast.globex, Role.OWNER, is_staff=True)
    greta.user_permissions.set(Permission.objects.exclude(codename="see_every_tenant"))
    for action in ("export_current", "export_month"):
        lines = _exported(signed_in(greta), action)
        assert {line["tenant"] for line in lines} == {"globex"}
        assert len(_exported(signed_in(make_operator(action)), action)) == 4


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "|cmd", "＝1", "＋1", "－1", "＠a"],
)
def test_no_cell_is_a_formula(text: str) -> None:
    assert safe_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "acme", "a=b", "a-b", "o'neill", "a, b"])
def test_other_cells_stay_as_they_are(text: str) -> None:
    assert safe_cell(text) == text


def test_names_of_people_are_no_formulas_in_the_file(support: Client, cast: Cast) -> None:
    User.objects.filter(pk=cast.carol.pk).update(username='=HYPERLINK("http://evil","a,b")')
    Tenant.objects.filter(pk=cast.globex.pk).update(slug="-1+2")
    Member(cast.carol, cast.globex).use(tokens=1)
    (line, together) = _exported(support, "export_current")
    assert line["member"] == '\'=HYPERLINK("http://evil","a,b")'
    assert line["tenant"] == together["tenant"] == "'-1+2"


def test_pages_leave_nothing_out_and_repeat_nothing(cast: Cast) -> None:
    for number in range(7):
        member = Member(make_user(f"user{number}", cast.acme), cast.acme)
        member.use(tokens=1, agent_runs=1, cpu_seconds=1)
    actor = make_operator()
    tenants = [cast.acme.pk, cast.globex.pk]
    for page in (1, 2, 3, 7, 20, 21, 22):
        pieces = list(export_usage(tenants, Period.CURRENT, actor=actor, now=timezone.now(), page=page))
        lines = [(line["member"], line["resource"]) for line in _lines(pieces) if line["member"]]
        assert len(lines) == len(set(lines)) == QuotaUsage.objects.count() == 21
        assert len(_lines(pieces)) == 24
        assert len(pieces) > 21 // page


@pytest.mark.django_db(transaction=True)
async def test_a_server_of_events_streams_it_too() -> None:
    cast = await sync_to_async(make_cast)()
    operator = await sync_to_async(make_operator)()
    await sync_to_async(Member(cast.carol, cast.globex).use)(tokens=1)
    client = AsyncClient()
    await sync_to_async(client.force_login)(operator, backend="django.contrib.auth.backends.ModelBackend")
    answer: Any = await client.get(address(Tenant, "export_current"))
    assert answer.is_async
    text = "".join([piece.decode() async for piece in answer])
    assert [line["member"] for line in _lines([text])] == ["carol", ""]
    await sync_to_async(connections.close_all)()
