"""Details of the audit can be erased, by an erasure alone, and chains show what was not told."""

from datetime import UTC, datetime
from io import StringIO
from uuid import UUID

import pytest
from django.core.management import call_command
from django.db import IntegrityError, transaction

from contexts import audit_retention
from contexts.audit import record_system_audit
from contexts.audit_chain import BrokenLink, ChainPlace
from contexts.audit_erasure import BATCH, entries_to_erase, erase_entries
from contexts.audit_seals import INSTALLATION, Fault
from contexts.models import AuditEntry
from contexts.scope import system_scope
from tests.contexts.audit_tools import broken, execute, fill, seal_what_is_there, triggers_off, verified

pytestmark = pytest.mark.django_db(transaction=True)
ACME = UUID("019a0000-0000-7000-8000-00000000000a")
GLOBEX = UUID("019a0000-0000-7000-8000-00000000000b")
ZAPHOD = UUID("019a0000-0000-7000-8000-0000000000cc")
TRILLIAN = UUID("019a0000-0000-7000-8000-0000000000dd")
OLD = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = ("zaphod.b", "z@example.org", "Zaphod B.")


def erase(chain_id: UUID, ids: list[int]) -> int:
    with system_scope("erase", always_audited=False):
        return erase_entries(ZAPHOD, chain_id, ids)


def fill_as_before_digests(count: int) -> list[int]:
    with triggers_off():
        ids = fill(ACME, count, user_id=ZAPHOD, created_at=OLD)
    seal_what_is_there()
    return ids


def told(**details: object) -> int:
    record_system_audit("told", tenant_id=ACME, user_id=TRILLIAN, **details)
    return AuditEntry.objects.latest("id").id


def test_an_erased_entry_is_still_sealed_and_verifying_counts_it():
    ids = fill(ACME, 4, user_id=ZAPHOD)
    noted = ChainPlace(4, verified(ACME).head)
    assert erase(ACME, ids[1:3]) == 2
    entry = AuditEntry.objects.get(id=ids[1])
    assert (entry.details, entry.details_salt) == ({"erased": True}, None)
    telling = AuditEntry.objects.get(id=entry.erased_in)
    assert (telling.action, telling.user_id, telling.details) == (
        "audit_erased",
        ZAPHOD,
        {"entries": ids[1:3], "left": {}},
    )
    report = verified(ACME, noted=noted)
    assert (report.broken, report.verified, report.erased) == (None, 5, 2)
    output = StringIO()
    call_command("verify_audit", "--tenant", str(ACME), stdout=output)
    assert "entries 5, erased 2, head" in output.getvalue()
    assert erase(ACME, ids[1:3]) == 0
    assert AuditEntry.objects.filter(action="audit_erased").count() == 1


@pytest.mark.parametrize("change", ["action = 'other'", "user_id = NULL", "details = '{\"number\": 7}'"])
@pytest.mark.parametrize("is_old", [False, True])
def test_what_is_left_of_an_erased_entry_is_sealed(change: str, is_old: bool):
    ids = fill_as_before_digests(3) if is_old else fill(ACME, 3, user_id=ZAPHOD)
    erase(ACME, ids)
    assert (broken(ACME), verified(ACME).erased) == (None, 3)
    with triggers_off():
        execute(f"UPDATE contexts_auditentry SET {change} WHERE id = %s", ids[1])
    assert broken(ACME) == BrokenLink(Fault.ENTRY_CHANGED, 2, ids[1])


@pytest.mark.parametrize("is_old", [False, True])
def test_erasing_without_telling_is_named(is_old: bool):
    ids = fill_as_before_digests(3) if is_old else fill(ACME, 3, user_id=ZAPHOD)
    erase(ACME, ids[:1])
    telling = AuditEntry.objects.get(id=ids[0]).erased_in
    with transaction.atomic():
        execute("SELECT set_config('netra.audit_erasure', 'on', true)")
        execute(
            "UPDATE contexts_auditentry SET details = '{\"erased\": true}', details_salt = NULL, "
            "erased_in = %s WHERE id = %s",
            telling,
            ids[1],
        )
    assert broken(ACME) == BrokenLink(Fault.ERASED_SILENTLY, 2, ids[1])
    # Nor can another chain tell of it.
    fill(GLOBEX, 1, user_id=ZAPHOD)
    elsewhere = AuditEntry.objects.create(
        tenant_id=GLOBEX, action="audit_erased", details={"entries": ids[1:2], "left": {}}
    )
    with triggers_off():
        execute("UPDATE contexts_auditentry SET erased_in = %s WHERE id = %s", elsewhere.id, ids[1])
    assert broken(ACME) == BrokenLink(Fault.ERASED_SILENTLY, 2, ids[1])


@pytest.mark.parametrize(
    "change",
    [
        "details = '{\"number\": 7}', details_salt = NULL, erased_in = 1",
        "details = '{\"erased\": true}', details_salt = NULL",
        "details = '{\"erased\": true}', erased_in = 1",
        "details = '{\"erased\": true}', details_salt = NULL, erased_in = 1, action = 'other'",
        "details = '{\"erased\": true}', details_salt = NULL, erased_in = 1, details_digest = '\\x00'",
    ],
)
def test_an_erasure_may_do_nothing_else(change: str):
    ids = fill(ACME, 1)
    with transaction.atomic():
        execute("SELECT set_config('netra.audit_erasure', 'on', true)")
        with pytest.raises(IntegrityError, match="append-only"):
            execute(f"UPDATE contexts_auditentry SET {change} WHERE id = %s", ids[0])
        transaction.set_rollback(True)


def test_no_digest_can_be_given_along_or_guessed():
    same = [
        AuditEntry.objects.create(
            tenant_id=ACME,
            action="done",
            details={"a": 1},
            details_salt=b"x",
            details_digest=b"y",
            erased_in=3,
        ).id
        for _ in range(2)
    ]
    entries = AuditEntry.objects.filter(id__in=same)
    assert len({bytes(entry.details_digest or b"") for entry in entries}) == 2
    assert {(len(bytes(entry.details_salt or b"")), entry.erased_in) for entry in entries} == {(16, None)}
    assert broken(ACME) is None


def test_chosen_are_their_own_entries_and_what_names_them():
    own = fill(ACME, 2, user_id=ZAPHOD) + fill(None, 1, user_id=ZAPHOD)
    as_staff = AuditEntry.objects.create(
        tenant_id=GLOBEX, user_id=ZAPHOD, action="user_changed", details={"row": "1", "name": "ford"}
    ).id
    named = [
        told(members=[str(ZAPHOD)]),
        told(row="7", name="zaphod.b · Acme (owner)"),
        told(row="7", after={"email": "Z@example.org"}),
        told(reason="Zaphod B. asked for it"),
    ]
    others = [
        told(operation="zaphod.b"),
        told(row="7", name="not.zaphod.b"),
        told(row="7", name="zaphod.bc"),
        told(row="7", name="zaphodxb"),
    ]
    AuditEntry.objects.create(tenant_id=ACME, user_id=ZAPHOD, action="runs_pruned", details={"runs": 3})
    with system_scope("find", always_audited=False):
        assert entries_to_erase(ZAPHOD, NAMES) == {ACME: own[:2] + named, INSTALLATION: own[2:]}
    # By staff, about others.
    assert AuditEntry.objects.get(id=as_staff).details["name"] == "ford"
    assert not set(others) & set(own + named)


def test_a_full_batch_of_the_oldest_entries_fits_in_one_telling_and_all_can_be_pruned(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(audit_retention, "BATCH", 50)
    old = fill_as_before_digests(BATCH + 1)
    young = fill(ACME, 2, user_id=ZAPHOD, created_at=OLD)
    assert [erase(ACME, ids) for ids in (old, [*old[BATCH:], *young])] == [BATCH, 3]
    assert (broken(ACME), verified(ACME).erased) == (None, BATCH + 3)
    call_command("prune_audit", "--before", "2026-01-02", "--tenant", str(ACME), stdout=StringIO())
    report = verified(ACME)
    assert (report.broken, report.pruned, report.erased) == (None, BATCH + 3, 0)
