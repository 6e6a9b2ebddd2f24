from uuid import UUID

import pytest

from contexts.audit_chain import GENESIS, BrokenLink, ChainPlace
from contexts.audit_seals import Fault
from contexts.identifiers import new_id
from tests.contexts.audit_tools import broken, execute, fill, seal_what_is_there, triggers_off, verified

pytestmark = pytest.mark.django_db(transaction=True)
ACME = UUID("019a0000-0000-7000-8000-00000000000a")
GLOBEX = UUID("019a0000-0000-7000-8000-00000000000b")


def test_changed_details_are_named():
    ids = fill(ACME, 5)
    with triggers_off():
        execute("""UPDATE contexts_auditentry SET details = '{"number": 7}' WHERE id = %s""", ids[2])
    assert broken(ACME) == BrokenLink(Fault.ENTRY_CHANGED, 3, ids[2])
    assert verified(ACME).verified == 2


@pytest.mark.parametrize(
    "change",
    [
        "action = 'other'",
        "user_id = '019a0000-0000-7000-8000-0000000000cc'",
        "context_id = '019a0000-0000-7000-8000-0000000000cc'",
        "run_id = '019a0000-0000-7000-8000-0000000000cc'",
        "request_id = '019a0000-0000-7000-8000-0000000000cc'",
        "created_at = created_at + interval '1 microsecond'",
        "tenant_id = NULL",
    ],
)
def test_every_column_is_sealed(change: str):
    ids = fill(ACME, 3)
    with triggers_off():
        execute(f"UPDATE contexts_auditentry SET {change} WHERE id = %s", ids[1])
    assert broken(ACME) == BrokenLink(Fault.ENTRY_CHANGED, 2, ids[1])


def test_a_deleted_entry_is_named():
    ids = fill(ACME, 4)
    with triggers_off():
        execute("DELETE FROM contexts_auditentry WHERE id = %s", ids[1])
    assert broken(ACME) == BrokenLink(Fault.ENTRY_MISSING, 2, ids[1])


def test_a_deleted_link_is_named_with_its_entry():
    ids = fill(ACME, 4)
    with triggers_off():
        execute("DELETE FROM contexts_auditlink WHERE entry_id = %s", ids[1])
    assert broken(ACME) == BrokenLink(Fault.LINK_MISSING, 2, ids[1])


def test_a_deleted_link_and_entry_leave_a_gap():
    ids = fill(ACME, 4)
    with triggers_off():
        execute("DELETE FROM contexts_auditlink WHERE entry_id = %s", ids[2])
        execute("DELETE FROM contexts_auditentry WHERE id = %s", ids[2])
    assert broken(ACME) == BrokenLink(Fault.NUMBER_GAP, 3, None)


def test_swapped_entries_are_named():
    ids = fill(ACME, 4)
    with triggers_off():
        for old, new in ((ids[1], -1), (ids[2], ids[1]), (-1, ids[2])):
            execute("UPDATE contexts_auditlink SET entry_id = %s WHERE entry_id = %s", new, old)
    assert broken(ACME) == BrokenLink(Fault.ENTRY_CHANGED, 2, ids[2])


def test_a_truncated_tail_is_named():
    ids = fill(ACME, 4)
    with triggers_off():
        execute("DELETE FROM contexts_auditlink WHERE entry_id = ANY (%s)", ids[2:])
        execute("DELETE FROM contexts_auditentry WHERE id = ANY (%s)", ids[2:])
    assert broken(ACME) == BrokenLink(Fault.NUMBER_GAP, 3, None)


def test_emptied_tables_are_named():
    fill(ACME, 2)
    execute("TRUNCATE contexts_auditentry, contexts_auditlink")
    assert broken(ACME) == BrokenLink(Fault.NUMBER_GAP, 1, None)


def test_a_head_that_was_set_back_is_named():
    fill(ACME, 3)
    with triggers_off():
        execute("UPDATE contexts_auditchain SET length = 2 WHERE id = %s", ACME)
    assert broken(ACME) == BrokenLink(Fault.HEAD_DIFFERS, 3)
    with triggers_off():
        execute("UPDATE contexts_auditchain SET length = 3, head = %s WHERE id = %s", GENESIS, ACME)
    assert broken(ACME) == BrokenLink(Fault.HEAD_DIFFERS, 3)


def test_a_deleted_head_is_named():
    fill(ACME, 2)
    with triggers_off():
        execute("DELETE FROM contexts_auditchain WHERE id = %s", ACME)
    assert broken(ACME) == BrokenLink(Fault.HEAD_MISSING)


def test_a_first_link_that_follows_anything_else_is_named():
    fill(ACME, 1)
    with triggers_off():
        execute("UPDATE contexts_auditchain SET pruned_head = '\\x01' WHERE id = %s", ACME)
    assert broken(ACME) == BrokenLink(Fault.HEAD_DIFFERS, 0)


def test_an_entry_slipped_in_is_named():
    fill(ACME, 2)
    with triggers_off():
        (slipped,) = fill(ACME, 1)
    assert broken(ACME) == BrokenLink(Fault.ENTRY_WITHOUT_LINK, None, slipped)


def test_an_entry_moved_to_another_tenant_breaks_both_chains():
    ids = fill(ACME, 2)
    fill(GLOBEX, 1)
    with triggers_off():
        execute("UPDATE contexts_auditentry SET tenant_id = %s WHERE id = %s", GLOBEX, ids[1])
    assert broken(ACME) == BrokenLink(Fault.ENTRY_CHANGED, 2, ids[1])
    assert broken(GLOBEX) == BrokenLink(Fault.ENTRY_WITHOUT_LINK, None, ids[1])


def test_a_chain_made_anew_does_not_lead_through_a_head_noted_before():
    fill(ACME, 3)
    report = verified(ACME)
    noted = ChainPlace(report.length, report.head)
    fill(ACME, 1)
    assert verified(ACME, noted=noted).broken is None
    with triggers_off():
        execute("UPDATE contexts_auditentry SET action = 'nothing' WHERE tenant_id = %s", ACME)
        execute("TRUNCATE contexts_auditlink, contexts_auditchain")
    seal_what_is_there()
    assert broken(ACME) is None
    assert (found := verified(ACME, noted=noted).broken) is not None
    assert (found.fault, found.number) == (Fault.NOTED_DIFFERS, 3)


def test_a_chain_that_ends_before_the_noted_head_is_named():
    fill(ACME, 3)
    noted = ChainPlace(3, verified(ACME).head)
    execute("TRUNCATE contexts_auditentry, contexts_auditlink, contexts_auditchain")
    assert verified(ACME, noted=noted).broken == BrokenLink(Fault.HEAD_MISSING)
    fill(ACME, 2)
    assert verified(ACME, noted=noted).broken == BrokenLink(Fault.NOTED_DIFFERS, 3)


def test_a_chain_of_nobody_is_empty():
    report = verified(new_id())
    assert (report.length, report.broken, report.head) == (0, None, GENESIS)
