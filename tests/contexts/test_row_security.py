"""Row-level security: what the application's own role sees and writes, with a scope and without."""

import hashlib
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest
from django.db import connection
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken

from agents.models import Chart, RunStep, TenantTurn, ToolCall
from contexts.models import (
    AuditEntry,
    ContextRecord,
    QuotaGrant,
    QuotaOverride,
    SecurityIncident,
    SocketTicket,
)
from contexts.quotas import reserve_quota
from contexts.resources import Resource
from tests.contexts.quota_books import member_of
from tests.factories import make_cast, make_dataset, make_event, make_message, make_run, make_thread

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.mission_critical("P5")]

# Tables that name a user or tenant and are read before anybody is known to ask, or by staff alone; they
# hold nothing of anyone's work. Whoever adds one says why here.
EXEMPT = {
    "account_emailaddress": "signing in by e-mail address",
    "account_emailconfirmation": "verifying an e-mail address",
    "contexts_tokenfamily": "signing in by token: which sign-ins have ended",
    "contexts_user_groups": "Django's permissions of staff",
    "contexts_user_user_permissions": "Django's permissions of staff",
    "django_admin_log": "what staff did in the admin",
    "token_blacklist_blacklistedtoken": "which tokens are spent; the tokens themselves are secured",
    "contexts_user": "signing in",
}
OPERATORS_ONLY = {
    "agents_tenantturn",
    "contexts_auditchain",
    "contexts_auditlink",
    "contexts_securityincident",
}
TENANTS_OWN = {
    "agents_dataset",
    "contexts_membership",
    "contexts_quotagrant",
    "contexts_quotaoverride",
    "contexts_tenantquotausage",
}
USERS_OWN = {"contexts_socketticket", "token_blacklist_outstandingtoken"}

# Every table with a column that names a user or tenant, or a foreign key to a table that is owned.
OWNED_TABLES = """
WITH RECURSIVE named AS (
    SELECT DISTINCT attrelid AS id FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
    WHERE attname IN ('tenant_id', 'user_id') AND relkind IN ('r', 'p')
      AND relnamespace = 'public'::regnamespace
    UNION SELECT 'contexts_tenant'::regclass UNION SELECT 'contexts_user'::regclass
), owned AS (
    SELECT id FROM named
    UNION SELECT conrelid FROM pg_constraint JOIN owned ON confrelid = owned.id AND contype = 'f'
)
SELECT relname, relrowsecurity, relforcerowsecurity,
       (SELECT count(*) FROM pg_policy WHERE polrelid = owned.id) AS policies
FROM owned JOIN pg_class ON pg_class.oid = owned.id
"""


def owned_tables(cursor):
    """Return (name, secured) of every owned table that is not exempt."""
    cursor.execute(OWNED_TABLES)
    return {
        name: enabled and forced and policies > 0
        for name, enabled, forced, policies in cursor.fetchall()
        if name not in EXEMPT
    }


@pytest.fixture
def raw():
    """Yield a connection as the application's role that says nothing of a scope."""
    parameters = connection.get_connection_params()
    for name in ("cursor_factory", "context", "options"):
        parameters.pop(name, None)
    with psycopg.connect(**parameters) as raw_connection:
        yield raw_connection


@pytest.fixture
def cast():
    """Make alice, bob and carol with a row of each kind for each of them."""
    cast = make_cast()
    now = datetime.now(UTC)
    for user in (cast.alice, cast.bob, cast.carol):
        tenant = user.memberships.get().tenant
        thread = make_thread(user)
        run = make_run(thread)
        make_event(run, 1, "run_queued")
        make_message(thread)
        make_dataset(user)
        Chart.objects.create(tenant=tenant, user=user, run=run, title="t", alt_text="a", svg="<svg/>")
        ToolCall.objects.create(tenant=tenant, user=user, run=run, call_id="c", tool_name="t", params={})
        RunStep.objects.create(tenant=tenant, user=user, run=run, name="0.model.0", attempt=1, content="{}")
        # A reservation, counters and the ledger.
        reserve_quota(member_of(user), {"tokens": 1}, timedelta(hours=1))
        adjustment = {"tenant": tenant, "resource": Resource.TOKENS, "reason": "a test"}
        QuotaOverride.objects.create(**adjustment, limit=1_000)
        QuotaGrant.objects.create(**adjustment, amount=1_000, window_start=now)
        TenantTurn.objects.get_or_create(tenant=tenant, defaults={"tag": 0})
        ContextRecord.objects.create(
            id=uuid4(),
            tenant=tenant,
            user=user,
            operation="run",
            host="h",
            process_id=1,
            process_started_at=now,
            expires_at=now + timedelta(hours=1),
        )
        AuditEntry.objects.create(tenant=tenant, user=user, action="acted")
        digest = hashlib.sha256(user.username.encode()).digest()
        soon = now + timedelta(minutes=1)
        SocketTicket.objects.create(digest=digest, user=user, expires_at=soon, signed_in_until=soon)
        OutstandingToken.objects.create(
            user=user, jti=user.username, token="t", expires_at=now + timedelta(days=1)
        )
    SecurityIncident.objects.create(kind="canary", detector="on_demand", blocked=True)
    return cast


def say(raw_connection, user, *, role="member"):
    tenant_id = user.memberships.get().tenant_id
    for name, value in {"scope": "user", "tenant_id": tenant_id, "user_id": user.id, "role": role}.items():
        raw_connection.execute("SELECT set_config(%s, %s, true)", [f"netra.{name}", str(value)])


def count(raw_connection, table, condition="true", *values):
    return raw_connection.execute(f'SELECT count(*) FROM "{table}" WHERE {condition}', values).fetchone()[0]


def test_the_applications_role_is_bound_by_row_level_security(raw):
    row = raw.execute("SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user").fetchone()
    assert row == (False, False)


def test_every_owned_table_is_secured():
    with connection.cursor() as cursor:
        tables = owned_tables(cursor)
    assert [name for name, secured in tables.items() if not secured] == []
    assert {"agents_run", "agents_runevent", "contexts_tenant", "contexts_quotausage"} <= set(tables)


@pytest.mark.parametrize(
    "columns",
    [
        "user_id uuid",
        "tenant_id uuid",
        "run uuid REFERENCES agents_run",
        "whom uuid REFERENCES contexts_user",
    ],
)
def test_a_new_owned_table_without_a_policy_is_found(raw, columns):
    raw.execute(f"CREATE TABLE novelty (id int, {columns})")
    try:
        assert owned_tables(raw.cursor())["novelty"] is False
    finally:
        raw.rollback()


def test_without_a_scope_no_owned_table_shows_a_row(raw, cast):
    with connection.cursor() as cursor:
        tables = owned_tables(cursor)
        for table in tables:
            cursor.execute(f'SELECT count(*) FROM "{table}"')
            assert cursor.fetchone()[0] > 0, f"the test has no row in {table}"
    assert {table: count(raw, table) for table in tables} == dict.fromkeys(tables, 0)


@pytest.mark.parametrize("settings", [{"scope": "users"}, {"scope": "user"}, {"scope": ""}, {"user_id": "x"}])
def test_an_incomplete_scope_shows_no_row(raw, cast, settings):
    for name, value in settings.items():
        raw.execute("SELECT set_config(%s, %s, true)", [f"netra.{name}", value])
    assert count(raw, "agents_thread") == 0
    assert count(raw, "contexts_tenant") == 0


@pytest.mark.parametrize("name", ["alice", "carol"])
def test_in_a_scope_only_the_users_own_rows_are_seen(raw, cast, name):
    user = getattr(cast, name)
    tenant_id = user.memberships.get().tenant_id
    with connection.cursor() as cursor:
        tables = owned_tables(cursor)
    say(raw, user)
    for table in sorted(set(tables) - OPERATORS_ONLY):
        match table:
            case "contexts_tenant":
                foreign, own = count(raw, table, "id <> %s", tenant_id), count(raw, table)
            case _ if table in USERS_OWN:
                foreign, own = count(raw, table, "user_id <> %s", user.id), count(raw, table)
            case _ if table in TENANTS_OWN:
                foreign, own = count(raw, table, "tenant_id <> %s", tenant_id), count(raw, table)
            case _:
                foreign = count(raw, table, "tenant_id <> %s OR user_id <> %s", tenant_id, user.id)
                own = count(raw, table)
        assert (table, foreign) == (table, 0)
        assert own > 0, f"{name} does not see their own rows of {table}"
    for table in OPERATORS_ONLY:
        assert count(raw, table) == 0


def test_a_manager_reads_the_audit_and_quotas_of_the_tenant_and_of_no_other(raw, cast):
    say(raw, cast.alice, role="owner")
    for table in ("contexts_auditentry", "contexts_quotausage", "contexts_quotaentry"):
        users = {row[0] for row in raw.execute(f"SELECT user_id FROM {table}").fetchall()}
        assert users == {cast.alice.id, cast.bob.id}
    assert count(raw, "agents_thread", "user_id <> %s", cast.alice.id) == 0


INSERTS = {
    "agents_thread": "(id, title, tenant_id, user_id, updated_at) "
    "VALUES (gen_random_uuid(), '', %s, %s, now())",
    "contexts_auditentry": "(action, details, tenant_id, user_id) VALUES ('x', '{}', %s, %s)",
    "contexts_quotausage": "(tenant_id, user_id, resource, window_start, used, reserved) "
    "VALUES (%s, %s, 'tokens', now(), 0, 0)",
    "contexts_quotaentry": "(tenant_id, user_id, resource, window_start, kind, used, reserved) "
    "VALUES (%s, %s, 'tokens', now(), 'used', -1, 0)",
    "contexts_quotaoverride": '(id, tenant_id, user_id, resource, applies_to, reason, "limit") '
    "VALUES (gen_random_uuid(), %s, %s, 'tokens', 'member', 'I want', 1)",
    "contexts_membership": "(id, tenant_id, user_id, role) VALUES (gen_random_uuid(), %s, %s, 'owner')",
}


@pytest.mark.parametrize("table", INSERTS)
def test_a_row_for_another_tenant_cannot_be_written(raw, cast, table):
    say(raw, cast.alice, role="owner")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        raw.execute(f"INSERT INTO {table} {INSERTS[table]}", [cast.globex.id, cast.carol.id])


def test_another_tenants_rows_can_be_neither_changed_nor_deleted(raw, cast):
    say(raw, cast.alice, role="owner")
    for table in ("agents_thread", "agents_run", "agents_message", "contexts_quotausage"):
        assert raw.execute(f"DELETE FROM {table} WHERE user_id = %s", [cast.carol.id]).rowcount == 0
    assert raw.execute("UPDATE agents_run SET text = 'x' WHERE user_id = %s", [cast.carol.id]).rowcount == 0
    own = raw.execute("UPDATE agents_run SET text = 'x' WHERE user_id = %s", [cast.alice.id])
    assert own.rowcount == 1


QUOTA_WRITES = [
    "UPDATE contexts_quotausage SET used = 0",
    "UPDATE contexts_tenantquotausage SET reserved = 0",
    "UPDATE contexts_quotareservation SET amounts = '{0}'",
    "DELETE FROM contexts_quotausage",
    "DELETE FROM contexts_tenantquotausage",
    "DELETE FROM contexts_quotareservation",
    "DELETE FROM contexts_quotaoverride",
    'UPDATE contexts_quotaoverride SET "limit" = 1000000',
    "UPDATE contexts_quotagrant SET amount = 1000000",
    "DELETE FROM contexts_quotaentry",
]


@pytest.mark.mission_critical("P4")
@pytest.mark.parametrize("statement", QUOTA_WRITES)
def test_nobody_changes_their_own_quota(raw, cast, statement):
    say(raw, cast.alice, role="owner")
    assert raw.execute(statement).rowcount == 0


OWN_QUOTA = {name: sql for name, sql in INSERTS.items() if "quota" in name}


@pytest.mark.mission_critical("P4")
@pytest.mark.parametrize("table", OWN_QUOTA)
def test_nobody_gives_themselves_quota(raw, cast, table):
    say(raw, cast.alice, role="owner")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        raw.execute(f"INSERT INTO {table} {OWN_QUOTA[table]}", [cast.acme.id, cast.alice.id])


@pytest.mark.mission_critical("P4")
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE contexts_quotaentry SET used = 0",
        "DELETE FROM contexts_quotaentry",
        "TRUNCATE contexts_quotaentry",
    ],
)
def test_the_ledger_is_append_only_for_operators_too(raw, cast, statement):
    raw.execute("SELECT set_config('netra.scope', 'system', true)")
    with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
        raw.execute(statement)


def test_nobody_makes_themselves_a_member_or_changes_their_tier(raw, cast):
    say(raw, cast.carol, role="owner")
    assert raw.execute("UPDATE contexts_membership SET role = 'owner'").rowcount == 0
    assert raw.execute("UPDATE contexts_tenant SET tier_id = tier_id").rowcount == 0


def test_the_event_log_writes_events_and_changes_no_run(raw, cast):
    raw.execute("SELECT set_config('netra.scope', 'event_log', true)")
    assert count(raw, "agents_thread") == 0
    assert len(raw.execute("SELECT id FROM agents_run FOR SHARE").fetchall()) == 3
    raw.execute(
        "INSERT INTO agents_runevent (run_id, seq, tenant_id, user_id, thread_id, type, agent_name, data, "
        "created_at) SELECT id, 2, tenant_id, user_id, thread_id, 't', 'a', '{}', now() FROM agents_run"
    )
    assert raw.execute("DELETE FROM agents_runevent").rowcount == 0
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        raw.execute("UPDATE agents_run SET text = 'x'")


def test_a_ticket_is_seen_by_whoever_knows_it(raw, cast):
    raw.execute("SELECT set_config('netra.scope', 'ticket', true)")
    for known in ("alice", "alice carol", "nobody", ""):
        digests = [hashlib.sha256(name.encode()).hexdigest() for name in known.split()]
        raw.execute("SELECT set_config('netra.ticket', %s, true)", [",".join(digests)])
        users = {row[0] for row in raw.execute("SELECT user_id FROM contexts_socketticket").fetchall()}
        assert users == {getattr(cast, name).id for name in known.split() if name != "nobody"}
    assert count(raw, "contexts_membership") == 0
