from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from hashlib import sha256
from threading import Barrier, Event
from uuid import UUID

import pytest
from django.db import IntegrityError, connection, transaction
from psycopg.types.json import Jsonb

from contexts.audit import record_audit, record_system_audit
from contexts.audit_chain import BrokenLink
from contexts.audit_seals import INSTALLATION, Fault
from contexts.factory import UserContextFactory, managed_user_context
from contexts.models import AuditChain, AuditEntry, AuditLink
from contexts.scope import scope, system_scope
from tests.contexts.audit_tools import (
    broken,
    chains,
    execute,
    fill,
    numbers,
    seal_what_is_there,
    triggers_off,
    verified,
)
from tests.factories import make_cast

pytestmark = pytest.mark.django_db(transaction=True)
ACME = UUID("019a0000-0000-7000-8000-00000000000a")
GLOBEX = UUID("019a0000-0000-7000-8000-00000000000b")


def test_a_chain_grows_by_one_link_an_entry():
    ids = fill(ACME, 3)
    links = AuditLink.objects.filter(chain_id=ACME).order_by("number")
    assert [(link.number, link.entry_id) for link in links] == list(enumerate(ids, start=1))
    assert (report := verified(ACME)).broken is None
    chain = AuditChain.objects.get(id=ACME)
    assert (report.length, report.verified, report.pruned) == (chain.length, 3, 0) == (3, 3, 0)
    assert report.head == bytes(chain.head) == bytes(links[2].hash)


def test_a_seal_is_the_documented_hash():
    moment = datetime(2026, 3, 1, 12, 0, 0, 500_000, tzinfo=UTC)
    run_id = UUID("019a0000-0000-7000-8000-0000000000aa")
    entry_id = AuditEntry.objects.create(
        tenant_id=ACME, action="done", run_id=run_id, details={"b": 1, "a": "é"}, created_at=moment
    ).id
    entry = AuditEntry.objects.get(id=entry_id)
    assert entry.details_salt is not None
    digest = sha256(bytes(entry.details_salt) + '{"a": "é", "b": 1}'.encode()).digest()
    assert bytes(entry.details_digest or b"") == digest
    text = (
        f'[{entry_id}, "{ACME}", null, "done", null, "{run_id}", null, "{digest.hex()}", 1772366400.500000]'
    )
    assert bytes(AuditLink.objects.get(entry_id=entry_id).hash) == sha256(bytes(32) + text.encode()).digest()


def test_tenants_and_the_installation_have_chains_of_their_own():
    fill(ACME, 2)
    fill(GLOBEX, 1)
    fill(None, 1)
    assert {ACME, GLOBEX, INSTALLATION} <= chains()
    assert (numbers(ACME), numbers(GLOBEX), numbers(INSTALLATION)) == ([1, 2], [1], [1])


def test_what_is_rolled_back_is_not_sealed():
    fill(ACME, 1)
    with transaction.atomic():
        fill(ACME, 1)
        transaction.set_rollback(True)
    with transaction.atomic():
        with transaction.atomic():
            fill(GLOBEX, 1)
            transaction.set_rollback(True)
        fill(ACME, 1)
    assert numbers(ACME) == [1, 2]
    assert GLOBEX not in chains()
    assert broken(ACME) is None


def test_an_entry_is_sealed_within_the_scope_of_its_user():
    alice = make_cast().alice
    with managed_user_context(UserContextFactory().for_request(alice.id)) as context:
        with scope(context):
            record_audit(context, "done")
            execute("SET CONSTRAINTS ALL IMMEDIATE")
            with connection.cursor() as cursor:
                cursor.execute("SELECT current_setting('netra.scope')")
                assert cursor.fetchone() == ("user",)
            assert not AuditLink.objects.exists()
            record_audit(context, "done_again")
        assert numbers(context.tenant_id) == [1, 2]
        assert broken(context.tenant_id) is None


def test_a_transaction_with_many_entries_of_many_tenants_is_sealed_at_once():
    with transaction.atomic():
        for number in range(60):
            fill((ACME, GLOBEX, None)[number % 3], 1)
            if number % 7 == 0:
                with transaction.atomic():
                    fill(ACME, 1)
                    transaction.set_rollback(True)
        assert not AuditLink.objects.exists()
    for chain_id in (ACME, GLOBEX, INSTALLATION):
        assert numbers(chain_id) == list(range(1, 21))
        assert broken(chain_id) is None


def test_an_entry_that_would_stay_unsealed_is_not_committed():
    with transaction.atomic():
        fill(ACME, 1)
        execute("SET LOCAL netra.audit_entries = ''")
        with pytest.raises(IntegrityError, match="was not sealed"):
            execute("SET CONSTRAINTS ALL IMMEDIATE")
        transaction.set_rollback(True)
    assert not AuditEntry.objects.exists()


def test_seals_do_not_depend_on_a_sessions_settings():
    details = {"price": 0.1, "many": 1e300, "small": 1e-9, "text": "ünï\u2028\\ \" '"}
    with transaction.atomic():
        for setting in (
            "timezone = 'Asia/Kolkata'",
            "datestyle = 'SQL, DMY'",
            "intervalstyle = 'sql_standard'",
            "extra_float_digits = -15",
            "bytea_output = 'escape'",
        ):
            execute(f"SET LOCAL {setting}")
        execute(
            "INSERT INTO contexts_auditentry (tenant_id, action, details, created_at) "
            "VALUES (%s, 'done', %s, to_timestamp(1782950399.123456))",
            ACME,
            Jsonb(details),
        )
    assert broken(ACME) is None


def test_eight_threads_extend_one_chain_without_gap():
    barrier = Barrier(8)

    def write(number: int) -> None:
        try:
            barrier.wait(30)
            for _ in range(10):
                with system_scope("write", always_audited=False):
                    record_system_audit("done", tenant_id=ACME, writer=number)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(write, range(8)))
    assert numbers(ACME) == list(range(1, 81))
    assert broken(ACME) is None
    assert broken(INSTALLATION) is None


def test_transactions_that_write_for_two_tenants_in_opposite_order_do_not_lock_each_other_out():
    fill(ACME, 1)
    fill(GLOBEX, 1)
    both_written, holds_globex, may_go = Barrier(3), Event(), Event()

    def write(tenants: list[UUID]) -> None:
        try:
            with transaction.atomic():
                for tenant_id in tenants:
                    AuditEntry.objects.create(tenant_id=tenant_id, action="done")
                both_written.wait(30)
        finally:
            connection.close()

    def hold_globex() -> None:
        try:
            with transaction.atomic():
                execute("SELECT FROM contexts_auditchain WHERE id = %s FOR UPDATE", GLOBEX)
                holds_globex.set()
                assert may_go.wait(30)
        finally:
            connection.close()

    def wait_until_both_are_blocked() -> None:
        while _blocked() < 2:
            assert not any(writer.done() for writer in writers)

    # In the order of writing, the first writer would get hold of acme's chain alone and the second of
    # globex's, and each would wait for the other's.
    with ThreadPoolExecutor(3) as threads:
        holder = threads.submit(hold_globex)
        assert holds_globex.wait(30)
        try:
            with transaction.atomic():
                execute("SELECT FROM contexts_auditchain WHERE id = %s FOR UPDATE", ACME)
                writers = [threads.submit(write, order) for order in ([ACME, GLOBEX], [GLOBEX, ACME])]
                both_written.wait(30)
                wait_until_both_are_blocked()
            wait_until_both_are_blocked()
        finally:
            may_go.set()
        for future in (holder, *writers):
            future.result()
    assert numbers(ACME) == numbers(GLOBEX) == [1, 2, 3]
    assert broken(ACME) is broken(GLOBEX) is None


def _blocked() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid IN "
            "(SELECT pid FROM pg_stat_activity WHERE datname = current_database())"
        )
        return cursor.fetchone()[0]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE contexts_auditentry SET details = '{}'",
        "UPDATE contexts_auditentry SET action = action",
        "DELETE FROM contexts_auditentry",
        "UPDATE contexts_auditlink SET number = number + 1",
        "DELETE FROM contexts_auditlink",
        f"INSERT INTO contexts_auditlink VALUES (99, '{ACME}', 2, '\\x00')",
        "UPDATE contexts_auditchain SET length = 0",
        "UPDATE contexts_auditchain SET pruned = 1",
        "DELETE FROM contexts_auditchain",
        f"INSERT INTO contexts_auditchain VALUES ('{GLOBEX}', 0, '\\x00', 0, '\\x00')",
        "SELECT netra_seal_audit_entries(array(SELECT id FROM contexts_auditentry))",
    ],
)
def test_the_database_refuses_to_change_what_was_written(statement: str):
    fill(ACME, 1)
    with pytest.raises(IntegrityError, match="append-only"):
        execute(statement)
    assert broken(ACME) is None
    assert verified(ACME).verified == 1


def truncate_as_in_production(table: str) -> None:
    with transaction.atomic():
        execute("SELECT set_config('netra.audit_truncation', 'off', true)")  # the tests' own default is on
        execute(f"TRUNCATE {table}")


@pytest.mark.parametrize("table", ["contexts_auditentry", "contexts_auditlink", "contexts_auditchain"])
def test_no_table_of_the_audit_can_be_emptied(table: str):
    fill(ACME, 1)
    with pytest.raises(IntegrityError, match="append-only"):
        truncate_as_in_production(table)
    assert verified(ACME).verified == 1


def test_a_user_reaches_no_entry_to_change():
    alice = make_cast().alice
    with managed_user_context(UserContextFactory().for_request(alice.id)) as context:
        with scope(context):
            record_audit(context, "done")
        with scope(context):
            assert execute("UPDATE contexts_auditentry SET action = 'nothing'") == 0
            assert execute("DELETE FROM contexts_auditentry") == 0
    assert AuditEntry.objects.filter(action="done").count() == 1


def test_retention_may_delete_but_not_rewrite():
    fill(ACME, 1)
    for statement in (
        "UPDATE contexts_auditentry SET action = 'nothing'",
        "UPDATE contexts_auditlink SET number = 7",
        "UPDATE contexts_auditchain SET length = 7",
        "UPDATE contexts_auditchain SET head = '\\x00', pruned = 1",
        "DELETE FROM contexts_auditchain",
    ):
        with transaction.atomic():
            execute("SET LOCAL netra.audit_retention = 'on'")
            with pytest.raises(IntegrityError, match="append-only"):
                execute(statement)
            transaction.set_rollback(True)


def test_entries_from_before_there_were_chains_are_sealed_by_the_migration():
    with triggers_off():
        fill(ACME, 3)
        fill(None, 2)
    assert broken(ACME) == BrokenLink(Fault.HEAD_MISSING)
    seal_what_is_there()
    fill(ACME, 1)
    assert (verified(ACME).verified, broken(ACME)) == (4, None)
    assert (verified(INSTALLATION).verified, broken(INSTALLATION)) == (2, None)
