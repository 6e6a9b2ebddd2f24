import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from contexts import audit_retention
from contexts.audit_chain import BrokenLink
from contexts.audit_seals import INSTALLATION, Fault
from contexts.models import AuditChain, AuditEntry, AuditLink
from tests.contexts.audit_tools import broken, execute, fill, numbers, triggers_off, verified
from tests.factories import make_cast

pytestmark = pytest.mark.django_db(transaction=True)
OLD = datetime(2026, 1, 1, tzinfo=UTC)
RECENT = datetime(2026, 2, 1, tzinfo=UTC)
GONE = UUID("019a0000-0000-7000-8000-00000000000a")


def run(*arguments: str) -> str:
    output = StringIO()
    call_command(*arguments, stdout=output)
    return output.getvalue()


def found(*arguments: str) -> dict[str, Any]:
    """Return what verify_audit finds of broken chains, by their tenant."""
    output = StringIO()
    with pytest.raises(CommandError, match="broken"):
        call_command("verify_audit", "--json", *arguments, stdout=output)
    answer = json.loads(output.getvalue())
    assert not answer["intact"]
    return {row["tenant"]: row["broken"] for row in answer["chains"]}


@pytest.fixture
def acme() -> UUID:
    """Return a tenant with five old entries and two recent ones."""
    tenant_id = make_cast().acme.id
    fill(tenant_id, 5, created_at=OLD)
    fill(tenant_id, 2, created_at=RECENT)
    return tenant_id


def test_the_oldest_entries_are_pruned_and_the_rest_verifies(acme: UUID):
    before = verified(acme)
    output = run("prune_audit", "--before", "2026-01-15")
    assert f"acme ({acme}): entries pruned: 5" in output
    assert numbers(acme) == [6, 7, 8]
    assert list(AuditEntry.objects.filter(tenant_id=acme, created_at__lte=RECENT).values_list("action")) == [
        ("done",),
        ("done",),
    ]
    report = verified(acme)
    assert (report.broken, report.pruned, report.verified, report.length) == (None, 5, 3, 8)
    assert AuditChain.objects.get(id=acme).length == before.length + 1


def test_pruning_is_audited_in_the_chain_it_shortens(acme: UUID):
    fifth = bytes(AuditLink.objects.get(chain_id=acme, number=5).hash)
    run("prune_audit", "--before", "2026-01-15")
    entry = AuditEntry.objects.get(action="audit_pruned")
    assert entry.tenant_id == acme
    assert entry.details == {
        "entries": 5,
        "up_to": 5,
        "head": fifth.hex(),
        "before": "2026-01-15 00:00:00+00:00",
    }
    assert AuditEntry.objects.filter(action="system_scope_opened", details__reason="prune the audit").exists()


def test_a_rehearsal_deletes_nothing(acme: UUID):
    assert f"acme ({acme}): entries that would be pruned: 5" in run(
        "prune_audit", "--before", "2026-01-15", "--dry-run"
    )
    assert numbers(acme) == list(range(1, 8))
    assert not AuditEntry.objects.filter(action="audit_pruned").exists()


def test_pruning_goes_on_in_batches_and_again_later(acme: UUID, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(audit_retention, "BATCH", 2)
    run("prune_audit", "--before", "2026-01-15")
    assert broken(acme) is None
    assert numbers(acme)[:2] == [6, 7]
    run("prune_audit", "--before", "2026-01-15")
    assert numbers(acme)[:2] == [6, 7]
    run("prune_audit", "--before", "2026-02-15")
    assert broken(acme) is None
    assert verified(acme).pruned == 7


def test_only_what_precedes_the_first_younger_entry_is_pruned(acme: UUID):
    fill(acme, 2, created_at=OLD)
    run("prune_audit", "--before", "2026-01-15")
    assert numbers(acme)[:4] == [6, 7, 8, 9]


def test_days_count_back_from_now(acme: UUID):
    now = datetime.now(UTC)
    fill(GONE, 2, created_at=now - timedelta(days=31))
    fill(GONE, 2, created_at=now - timedelta(days=29))
    output = run("prune_audit", "--older-than-days", "30", "--tenant", str(GONE))
    assert f"a deleted tenant ({GONE}): entries pruned: 2" in output
    assert numbers(acme) == list(range(1, 8))


def test_evidence_of_tampering_is_not_pruned(acme: UUID):
    fill(GONE, 1, created_at=OLD)
    with triggers_off():
        execute(
            "UPDATE contexts_auditentry SET action = 'nothing' WHERE id ="
            " (SELECT entry_id FROM contexts_auditlink WHERE chain_id = %s AND number = 3)",
            acme,
        )
    with pytest.raises(CommandError, match=f"Link 3 of the audit chain {acme} is broken"):
        run("prune_audit", "--before", "2026-01-15")
    assert numbers(acme) == list(range(1, 8))
    assert numbers(GONE) == [2]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--before", "yesterday"],
        ["--before", "9999-01-01"],
        ["--before", "2026-01-01", "--older-than-days", "3"],
        ["--older-than-days", "0"],
        ["--older-than-days", "-1"],
        ["--older-than-days", "9" * 50],
        ["--before", "2026-01-01", "--tenant", "nobody"],
    ],
)
@pytest.mark.mission_critical("P9")
def test_bad_arguments_are_refused(acme: UUID, arguments: list[str]):
    with pytest.raises(CommandError):
        run("prune_audit", *arguments)
    assert numbers(acme) == list(range(1, 8))


def test_verify_prints_each_chain_with_its_head(acme: UUID):
    output = run("verify_audit")
    head = bytes(AuditChain.objects.get(id=acme).head).hex()
    assert f"intact  acme ({acme}): entries 7, head {head}" in output
    assert f"intact  the installation ({INSTALLATION}): entries 1, head" in output
    assert AuditEntry.objects.filter(details={"reason": "verify the audit"}).exists()
    answer = json.loads(run("verify_audit", "--json", "--tenant", "acme"))
    assert answer == {
        "intact": True,
        "chains": [
            {
                "tenant": "acme",
                "chain": str(acme),
                "length": 7,
                "pruned": 0,
                "verified": 7,
                "erased": 0,
                "head": head,
                "broken": None,
            }
        ],
    }


def test_verify_fails_and_names_the_first_broken_link(acme: UUID):
    entry_id = AuditLink.objects.get(chain_id=acme, number=4).entry_id
    with triggers_off():
        execute("UPDATE contexts_auditentry SET action = 'nothing' WHERE id >= %s", entry_id)
    output = StringIO()
    with pytest.raises(CommandError, match="1 of 2 audit chains broken") as failure:
        call_command("verify_audit", stdout=output)
    assert failure.value.returncode == 1
    assert f"BROKEN  acme ({acme}) at link 4, entry {entry_id}: the entry and its seal" in output.getvalue()
    assert found() == {
        "acme": {
            "number": 4,
            "entry_id": entry_id,
            "fault": "entry_changed",
            "text": Fault.ENTRY_CHANGED.text,
        },
        "the installation": None,
    }


def test_verify_compares_with_what_was_noted(acme: UUID, tmp_path: Path):
    noted = tmp_path / "noted.json"
    noted.write_text(run("verify_audit", "--json"))
    fill(acme, 1)
    assert "intact  acme" in run("verify_audit", "--noted", str(noted))
    answer = json.loads(noted.read_text())
    (row,) = (row for row in answer["chains"] if row["tenant"] == "acme")
    row["head"] = "00" * 32
    row_of_a_lost_chain = {**row, "chain": str(GONE)}
    noted.write_text(json.dumps({"chains": [*answer["chains"], row_of_a_lost_chain]}))
    faults = {tenant: broken and broken["fault"] for tenant, broken in found("--noted", str(noted)).items()}
    assert faults == {
        "acme": "noted_differs",
        "a deleted tenant": "head_missing",
        "the installation": None,
    }


def test_a_head_noted_before_pruning_still_holds(acme: UUID, tmp_path: Path):
    noted = tmp_path / "noted.json"
    noted.write_text(run("verify_audit", "--json", "--tenant", "acme"))
    run("prune_audit", "--before", "2026-02-15")
    assert "intact  acme" in run("verify_audit", "--noted", str(noted))
    with triggers_off():
        execute("UPDATE contexts_auditchain SET pruned_head = '\\x01' WHERE id = %s", acme)
    assert found("--noted", str(noted))["acme"]["fault"] == "noted_differs"
    assert broken(acme) == BrokenLink(Fault.PRUNED_SILENTLY, 7)


@pytest.mark.parametrize("content", ["", "[]", '{"chains": [1]}', '{"chains": [{"chain": "x"}]}', None])
@pytest.mark.mission_critical("P9")
def test_verify_refuses_what_is_no_note(acme: UUID, tmp_path: Path, content: str | None):
    file = tmp_path / "noted.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(CommandError, match=r"noted\.json"):
        run("verify_audit", "--noted", str(file))


def test_verify_refuses_an_unknown_tenant(acme: UUID):
    with pytest.raises(CommandError, match="'nobody'"):
        run("verify_audit", "--tenant", "nobody")


def test_deleting_as_retention_does_without_saying_so_is_named(acme: UUID):
    third = AuditLink.objects.get(chain_id=acme, number=3)
    gone = list(AuditLink.objects.filter(chain_id=acme, number__lte=3).values_list("entry_id", flat=True))
    with transaction.atomic():
        execute("SELECT set_config('netra.audit_retention', 'on', true)")
        execute(f"DELETE FROM contexts_auditlink WHERE entry_id IN {tuple(gone)}")
        execute(f"DELETE FROM contexts_auditentry WHERE id IN {tuple(gone)}")
        seal = bytes(third.hash).hex()
        execute(f"UPDATE contexts_auditchain SET pruned = 3, pruned_head = '\\x{seal}' WHERE id = '{acme}'")
    assert broken(acme) == BrokenLink(Fault.PRUNED_SILENTLY, 3)
