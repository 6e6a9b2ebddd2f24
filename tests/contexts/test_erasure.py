"""A person is erased everywhere; what is others' stays whole, and a receipt says what became of what."""

import hashlib
import json
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from agents import personal_data
from agents.models import Dataset, Run, RunStatus
from contexts.management.commands import erase_user
from contexts.models import AuditEntry, Membership, QuotaReservation, TenantQuotaUsage, User
from contexts.personal_data import holders
from contexts.personal_data.receipt import digest_of
from contexts.personal_data.registry import (
    register_holder,
    registered_holders,
    unanswered_keys,
    unregister_holder,
)
from contexts.quotas import reserve_quota
from contexts.reconciliation import find_differences
from tests.clients import client_of
from tests.contexts.admin.pages import make_operator
from tests.contexts.audit_tools import chains, verified
from tests.contexts.erasing import erase, tables_with
from tests.contexts.lives import PARQUET, live, store
from tests.contexts.quota_books import member_of
from tests.factories import (
    Cast,
    make_cast,
    make_dataset,
    make_membership,
    make_run,
    make_tenant,
    make_thread,
    make_user,
)

pytestmark = pytest.mark.django_db(transaction=True)
# Where their id, which names nobody any more, may be left.
PSEUDONYMOUS = {"contexts_auditentry", "contexts_quotaentry", "contexts_securityincident", "agents_dataset"}


@pytest.fixture
def cast(transactional_db: None) -> Cast:
    return make_cast()


@pytest.fixture
def zaphod(cast: Cast) -> User:
    """Make someone of acme, and alone in a tenant of their own, who has left something of everything."""
    zaphod = make_user("zaphod.beeble", cast.acme)
    live(zaphod, by=make_operator())
    alone = make_tenant("heartofgold")
    make_membership(zaphod, alone)
    make_thread(zaphod, alone)
    return zaphod


def tenant_totals() -> set[tuple[Any, ...]]:
    return set(TenantQuotaUsage.objects.filter(used__gt=0).values_list("tenant", "resource", "used"))


def broken_chains() -> list[Any]:
    return [report.broken for report in map(verified, chains()) if report.broken]


def test_nothing_names_them_any_more_and_others_lose_nothing(cast: Cast, zaphod: User):
    live(cast.alice, by=User.objects.get(username="operator"))
    kept = zaphod.datasets.get()
    own = make_dataset(zaphod, Membership.objects.get(tenant__slug="heartofgold").tenant)
    own.path.parent.mkdir(parents=True, exist_ok=True)
    own.path.write_bytes(PARQUET)
    alices = [cast.alice.username, str(cast.alice.id)]
    before = [tables_with(name) for name in alices]
    totals = tenant_totals()
    receipt = erase(zaphod.username)
    assert tables_with("zaphod") == tables_with("beeble") == set()
    assert tables_with(str(zaphod.id)) == PSEUDONYMOUS
    assert [tables_with(name) for name in alices] == before
    # The file that acme was given stays with it; the one in a tenant that is nobody else's is gone.
    assert (kept.path.exists(), own.path.exists()) == (True, False)
    assert receipt["deleted"]["files"] == [
        {"path": f"{own.tenant_id}/{own.id}.parquet", "sha256": hashlib.sha256(PARQUET).hexdigest()}
    ]
    assert tenant_totals() == totals
    assert find_differences() == []
    assert not QuotaReservation.objects.filter(user_id=zaphod.id).exists()
    assert broken_chains() == []
    assert sum(verified(chain).erased for chain in chains()) >= 4
    resets = AuditEntry.objects.filter(action="quota_reset").order_by("id")
    assert [entry.details.get("member", "erased") for entry in resets] == ["erased", str(cast.alice.id)]


def test_the_receipt_is_what_the_rehearsal_said_and_can_be_checked(zaphod: User, tmp_path: Path):
    output = StringIO()
    entries = AuditEntry.objects.count()
    call_command("erase_user", zaphod.username, "--dry-run", stdout=output)
    assert User.objects.get(id=zaphod.id).is_active
    told = AuditEntry.objects.order_by("id").values_list("action", flat=True)[entries:]
    assert set(told) == {"system_scope_opened"}
    would, _, _ = output.getvalue().partition("Would be kept")
    rehearsed = Counter[str]()
    for count, _, table in (line.split(maxsplit=2) for line in would.splitlines()[1:]):
        rehearsed[table] += int(count)
    receipt = erase(zaphod.username, "--receipt", str(tmp_path / "receipt.json"))
    assert json.loads((tmp_path / "receipt.json").read_text()) == receipt
    deleted = Counter(receipt["deleted"]["database"])
    # Reservations are released, not deleted, and an erasure is audited itself.
    same = {table for table in rehearsed if "auditentry" not in table and "reservation" not in table}
    assert {table: deleted[table] for table in same} == {table: rehearsed[table] for table in same}
    assert (deleted["agents_runevent"], deleted["contexts_user"], deleted["agents_runstep"]) == (2, 1, 1)
    assert receipt["checked"]["redis"]["keys_that_name_them"] == 0
    assert {kept["what"] for kept in receipt["kept"]} == PSEUDONYMOUS
    assert (receipt["user_id"], receipt["operator"]) == (str(zaphod.id), "Trillian")
    assert "zaphod" not in json.dumps(receipt)
    erased = AuditEntry.objects.get(action="user_erased")
    assert erased.details["receipt_digest"] == receipt["digest"] == digest_of(receipt)


def test_killed_again_and_again_it_finishes_with_a_whole_receipt(
    zaphod: User, monkeypatch: pytest.MonkeyPatch
):
    store(zaphod)
    monkeypatch.setattr(holders, "BATCH", 1)
    expected = {
        "agents_message": 2,
        "agents_runevent": 2,
        "agents_run": 1,
        "agents_thread": 2,
        "agents_dataset": 2,
    }
    tell, lives = holders.record_system_audit, 0

    def die_at_the_second(*arguments: Any, **details: Any) -> None:
        nonlocal lives
        lives -= 1
        tell(*arguments, **details)
        if lives == 0:
            raise KeyboardInterrupt  # before the commit

    monkeypatch.setattr(holders, "record_system_audit", die_at_the_second)
    deaths, receipt = 0, None
    files = [dataset.path for dataset in zaphod.datasets.all()]
    while receipt is None:
        lives = 2
        with suppress(KeyboardInterrupt):
            receipt = erase(zaphod.username, "--with-datasets")
        deaths += receipt is None
    assert deaths > 15
    assert {table: receipt["deleted"]["database"][table] for table in expected} == expected
    assert len(receipt["deleted"]["files"]) == 2
    assert not any(file.exists() for file in files)
    assert tables_with("zaphod") == set()
    assert find_differences() == broken_chains() == []


def test_a_file_whose_deletion_was_cut_off_is_deleted_by_the_next_call(zaphod: User):
    lost = zaphod.datasets.get().path
    with holders.erasing(holders.Subject(user_id=zaphod.id, names=()), "datasets") as erased:
        # As after a kill between the commit and the deletion of the file.
        Dataset.objects.filter(user=zaphod)._raw_delete("default")
        erased.files[f"{lost.parent.name}/{lost.name}"] = "00"
    erase(zaphod.username)
    assert not lost.exists()


def job_of_a_worker(user: User) -> int:
    """Make a job that a live worker is doing, and return its id."""
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO procrastinate_workers DEFAULT VALUES RETURNING id")
        (worker_id,) = cursor.fetchone()
        cursor.execute(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, args, status, worker_id) "
            "VALUES ('runs', 'execute_run', jsonb_build_object('user_id', %s::text), 'doing', %s) "
            "RETURNING id",
            [str(user.id), worker_id],
        )
        return int(cursor.fetchone()[0])


def test_open_runs_are_cancelled_first_and_nothing_stays_reserved(
    cast: Cast, zaphod: User, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(personal_data, "PATIENCE_S", 0.0)
    thread = make_thread(zaphod, cast.acme)
    # The second has a worker that lives and never answers.
    for status, job_id in {RunStatus.QUEUED: None, RunStatus.RUNNING: job_of_a_worker(zaphod)}.items():
        run = make_run(thread, status=status, job_id=job_id)
        reserve_quota(member_of(zaphod), {"tokens": 5}, timedelta(hours=1), reservation_id=run.id)
    receipt = erase(zaphod.username)
    ends = AuditEntry.objects.filter(action="run_cancelled", user_id=zaphod.id)
    assert ends.count() == 2
    assert receipt["deleted"]["database"]["agents_run"] == 3
    assert not TenantQuotaUsage.objects.filter(reserved__gt=0).exists()
    assert find_differences() == []


def test_what_is_written_meanwhile_is_erased_too(cast: Cast, zaphod: User, monkeypatch: pytest.MonkeyPatch):
    late = [cast.acme, cast.acme]

    def write_late(*_: Any) -> None:
        if late:
            make_run(make_thread(zaphod, late.pop()), text="I was on my way.")

    # When all of their runs are gone already.
    monkeypatch.setattr(registered_holders()[0], "erase", write_late)
    monkeypatch.setattr(personal_data, "PATIENCE_S", 0.0)
    receipt = erase(zaphod.username)
    assert receipt["deleted"]["database"]["agents_run"] == 3
    assert not Run.objects.exists()


def test_whoever_is_being_erased_can_do_nothing_more(zaphod: User, monkeypatch: pytest.MonkeyPatch):
    client = client_of(zaphod)
    assert client.get("/api/v1/me").status_code == 200
    seen: list[int] = []

    def look(*_: Any) -> None:
        seen.append(client.get("/api/v1/me").status_code)

    monkeypatch.setattr(registered_holders()[0], "stop", look)
    erase(zaphod.username)
    assert seen == [401]


def test_the_storage_that_they_left_is_given_back_when_the_tenant_deletes_it(cast: Cast, zaphod: User):
    dataset = zaphod.datasets.get()
    erase(zaphod.username)
    storage = TenantQuotaUsage.objects.get(tenant=cast.acme, resource="storage_bytes")
    assert storage.used == len(PARQUET)
    client = client_of(cast.alice)
    assert [row["id"] for row in client.get("/api/v1/datasets").json()["results"]] == [str(dataset.id)]
    assert client.delete(f"/api/v1/datasets/{dataset.id}").status_code == 204
    storage.refresh_from_db()
    assert (storage.used, dataset.path.exists(), find_differences()) == (0, False, [])


def test_the_only_owner_of_a_tenant_is_not_erased_unless_forced(cast: Cast):
    for username in ("alice",):
        with pytest.raises(CommandError, match="only owner of acme"):
            erase(username)
        assert User.objects.get(username=username).is_active
    make_user("idle", cast.acme, "owner", is_active=False)
    with pytest.raises(CommandError, match="only owner of acme"):
        erase("alice")
    Membership.objects.filter(user=cast.bob).update(role="owner")
    erase("alice")
    erase("bob", "--force")
    assert not User.objects.filter(username__in=["alice", "bob"]).exists()


def test_every_foreign_key_to_accounts_has_a_holder_and_without_one_nothing_is_done(zaphod: User):
    assert unanswered_keys() == []
    events = next(holder for holder in registered_holders() if holder.kind == "events")
    unregister_holder("events")
    try:
        for command in (["erase_user", zaphod.username, "--yes"], ["export_user", zaphod.username]):
            with pytest.raises(CommandError, match=r"agents\.RunEvent\.user"):
                call_command(*command)
    finally:
        register_holder(events)
    with pytest.raises(ValueError, match="events already"):
        register_holder(events)
    assert User.objects.get(id=zaphod.id).is_active


class _Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.mission_critical("P9")
def test_nobody_is_erased_without_being_sure(zaphod: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    there = tmp_path / "receipt.json"
    there.write_text("{}")
    monkeypatch.setattr(erase_user.sys, "stdin", StringIO(f"{zaphod.username}\n"))
    for refused, arguments in {
        "no user named 'nobody'": ["nobody", "--yes"],
        "pass --yes": [zaphod.username],
        "such a file already": [zaphod.username, "--yes", "--receipt", str(there)],
        "No such file": [zaphod.username, "--yes", "--receipt", str(tmp_path / "no" / "folder")],
    }.items():
        with pytest.raises(CommandError, match=refused):
            call_command("erase_user", *arguments)
    monkeypatch.setattr(erase_user.sys, "stdin", _Terminal("somebody else\n"))
    with pytest.raises(CommandError, match="Nothing was erased"):
        call_command("erase_user", zaphod.username)
    assert User.objects.get(id=zaphod.id).is_active
    monkeypatch.setattr(erase_user.sys, "stdin", _Terminal(f"{zaphod.username}\n"))
    call_command("erase_user", zaphod.username, stdout=StringIO())
    assert not User.objects.filter(id=zaphod.id).exists()
