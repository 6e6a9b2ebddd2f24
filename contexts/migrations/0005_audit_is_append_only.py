"""The audit's own guards in the database: entries are sealed in a chain, and neither is ever changed.

A transaction's entries are sealed when it commits, so that a tenant's chain is locked during commits
only. Those of several tenants have all their chains locked at once and in order: two such transactions
cannot wait for each other. Which entries to seal is noted as they are inserted, in a setting that ends
with the transaction and is set back with a savepoint.

Row-level security shows chains and links to system scopes only, and a role that is no superuser cannot
attach a setting such as netra.scope to a function: the function that seals sets it, and sets it back.
"""

from django.db import migrations

# ruff: noqa: S608 - put together from constants

INSTALLATION = "'00000000-0000-0000-0000-000000000000'::uuid"
GENESIS = r"'\x" + "00" * 32 + "'::bytea"

# No temporary table of a session can stand in for one of these tables.
PIN_SEARCH_PATH = "SELECT set_config('search_path', format('%I, pg_temp', current_schema()), true)"
FUNCTION = "LANGUAGE plpgsql SET search_path FROM CURRENT AS"

NOTE_ENTRY = f"""
CREATE FUNCTION netra_note_audit_entry() RETURNS trigger {FUNCTION} $$
BEGIN
    PERFORM set_config('netra.audit_entries',
        concat_ws(',', nullif(current_setting('netra.audit_entries', true), ''), NEW.id), true);
    RETURN NEW;
END $$
"""
SEAL_ENTRIES = f"""
CREATE FUNCTION netra_seal_audit_entries(ids bigint[]) RETURNS void {FUNCTION} $$
DECLARE
    chains uuid[] := array(
        SELECT DISTINCT coalesce(tenant_id, {INSTALLATION}) AS id
        FROM contexts_auditentry WHERE id = ANY (ids) ORDER BY 1);
    chain contexts_auditchain;
    entry contexts_auditentry;
BEGIN
    INSERT INTO contexts_auditchain (id, length, head, pruned, pruned_head)
        SELECT new, 0, {GENESIS}, 0, {GENESIS} FROM unnest(chains) AS new
        ON CONFLICT DO NOTHING;
    PERFORM FROM contexts_auditchain WHERE id = ANY (chains) ORDER BY id FOR UPDATE;
    FOR entry IN
        SELECT * FROM contexts_auditentry WHERE id = ANY (ids)
        ORDER BY coalesce(tenant_id, {INSTALLATION}), id
    LOOP
        IF chain.id IS DISTINCT FROM coalesce(entry.tenant_id, {INSTALLATION}) THEN
            UPDATE contexts_auditchain SET length = chain.length, head = chain.head WHERE id = chain.id;
            SELECT * INTO STRICT chain FROM contexts_auditchain
                WHERE id = coalesce(entry.tenant_id, {INSTALLATION});
        END IF;
        chain.length := chain.length + 1;
        chain.head := sha256(chain.head || convert_to(jsonb_build_array(
            entry.id, entry.tenant_id, entry.user_id, entry.action, entry.context_id, entry.run_id,
            entry.request_id, entry.details, extract(epoch FROM entry.created_at))::text, 'UTF8'));
        INSERT INTO contexts_auditlink (entry_id, chain_id, number, hash)
            VALUES (entry.id, chain.id, chain.length, chain.head);
    END LOOP;
    UPDATE contexts_auditchain SET length = chain.length, head = chain.head WHERE id = chain.id;
END $$
"""
SEAL_NEW_ENTRIES = f"""
CREATE FUNCTION netra_seal_new_audit_entries() RETURNS trigger {FUNCTION} $$
DECLARE
    scope text := coalesce(current_setting('netra.scope', true), '');
    noted text := current_setting('netra.audit_entries', true);
BEGIN
    PERFORM set_config('netra.scope', 'system', true);
    IF noted <> '' THEN
        PERFORM set_config('netra.audit_entries', '', true);
        PERFORM netra_seal_audit_entries(string_to_array(noted, ',')::bigint[]);
    END IF;
    IF NOT EXISTS (SELECT FROM contexts_auditlink WHERE entry_id = NEW.id) THEN
        RAISE EXCEPTION 'Audit entry % was not sealed.', NEW.id USING ERRCODE = 'restrict_violation';
    END IF;
    PERFORM set_config('netra.scope', scope, true);
    RETURN NULL;
END $$
"""
REFUSE_CHANGE = f"""
CREATE FUNCTION netra_refuse_audit_change() RETURNS trigger {FUNCTION} $$
BEGIN
    IF TG_OP = 'DELETE' AND current_setting('netra.audit_retention', true) = 'on' THEN
        RETURN OLD;
    END IF;
    -- Tests empty every table between them.
    IF TG_OP = 'TRUNCATE' AND current_setting('netra.audit_truncation', true) = 'on' THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION 'The audit is append-only: % of % is refused.', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$
"""
GUARD_CHAIN = f"""
CREATE FUNCTION netra_guard_audit_chain() RETURNS trigger {FUNCTION} $$
BEGIN
    IF TG_OP = 'UPDATE' AND current_setting('netra.audit_retention', true) = 'on'
        AND (NEW.id, NEW.length, NEW.head) = (OLD.id, OLD.length, OLD.head) AND NEW.pruned > OLD.pruned
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'The audit is append-only: % of % is refused.', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$
"""
SEAL_WHAT_IS_THERE = """
SELECT netra_seal_audit_entries(array(
    SELECT id FROM contexts_auditentry entry
    WHERE NOT EXISTS (SELECT FROM contexts_auditlink WHERE entry_id = entry.id)))
"""

FUNCTIONS = {
    "netra_note_audit_entry()": NOTE_ENTRY,
    "netra_seal_audit_entries(bigint[])": SEAL_ENTRIES,
    "netra_seal_new_audit_entries()": SEAL_NEW_ENTRIES,
    "netra_refuse_audit_change()": REFUSE_CHANGE,
    "netra_guard_audit_chain()": GUARD_CHAIN,
}
# A direct statement comes with no trigger around it; what seals an entry runs within one.
DIRECT = "FOR EACH ROW WHEN (pg_trigger_depth() = 0)"
TRIGGERS = {
    **{
        ("audit_keep_all", table): (
            "CREATE TRIGGER {} BEFORE TRUNCATE ON {} "
            "FOR EACH STATEMENT EXECUTE FUNCTION netra_refuse_audit_change()"
        )
        for table in ("contexts_auditentry", "contexts_auditlink", "contexts_auditchain")
    },
    ("audit_note_entry", "contexts_auditentry"): (
        "CREATE TRIGGER {} BEFORE INSERT ON {} FOR EACH ROW EXECUTE FUNCTION netra_note_audit_entry()"
    ),
    ("audit_seal_entries", "contexts_auditentry"): (
        "CREATE CONSTRAINT TRIGGER {} AFTER INSERT ON {} DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION netra_seal_new_audit_entries()"
    ),
    ("audit_keep_entry", "contexts_auditentry"): (
        "CREATE TRIGGER {} BEFORE UPDATE OR DELETE ON {} "
        "FOR EACH ROW EXECUTE FUNCTION netra_refuse_audit_change()"
    ),
    ("audit_keep_link", "contexts_auditlink"): (
        "CREATE TRIGGER {} BEFORE UPDATE OR DELETE ON {} "
        "FOR EACH ROW EXECUTE FUNCTION netra_refuse_audit_change()"
    ),
    ("audit_refuse_link", "contexts_auditlink"): (
        f"CREATE TRIGGER {{}} BEFORE INSERT ON {{}} {DIRECT} EXECUTE FUNCTION netra_refuse_audit_change()"
    ),
    ("audit_guard_chain", "contexts_auditchain"): (
        f"CREATE TRIGGER {{}} BEFORE INSERT OR UPDATE ON {{}} {DIRECT} "
        "EXECUTE FUNCTION netra_guard_audit_chain()"
    ),
    ("audit_keep_chain", "contexts_auditchain"): (
        "CREATE TRIGGER {} BEFORE DELETE ON {} FOR EACH ROW EXECUTE FUNCTION netra_guard_audit_chain()"
    ),
}


class Migration(migrations.Migration):
    dependencies = [("contexts", "0004_audit_incidents_preferences")]
    operations = [
        migrations.RunSQL([PIN_SEARCH_PATH], []),
        migrations.RunSQL(
            list(FUNCTIONS.values()), [f"DROP FUNCTION {name}" for name in reversed(FUNCTIONS)]
        ),
        migrations.RunSQL([SEAL_WHAT_IS_THERE], []),
        migrations.RunSQL(
            [statement.format(*names) for names, statement in TRIGGERS.items()],
            [f"DROP TRIGGER {name} ON {table}" for name, table in TRIGGERS],
        ),
    ]
