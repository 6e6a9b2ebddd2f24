"""Changes by operators are told to every process that listens, with the commit (`contexts.changes`).

What is told are ids alone, and it reaches servers and workers, not users.
"""

from django.db import migrations

# Arguments: the kind of change, then the columns that hold tenant, user and tier; empty: there is none. Of an
# update both rows are told, for whom it was about and whom it is about now; PostgreSQL drops repetitions.
TELL = """
CREATE FUNCTION netra_tell_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_row jsonb;
BEGIN
    FOREACH v_row IN ARRAY ARRAY[to_jsonb(OLD), to_jsonb(NEW)] LOOP
        CONTINUE WHEN v_row IS NULL;
        PERFORM pg_notify('netra_changes', jsonb_build_object('kind', TG_ARGV[0],
            'tenant_id', v_row -> TG_ARGV[1], 'user_id', v_row -> TG_ARGV[2],
            'tier_id', v_row -> TG_ARGV[3])::text);
    END LOOP;
    RETURN NULL;
END $$
"""


def _differs(*columns):
    return " OR ".join(f"OLD.{column} IS DISTINCT FROM NEW.{column}" for column in columns)


ALWAYS = "AFTER INSERT OR UPDATE OR DELETE ON {table} FOR EACH ROW"
# Table, trigger: when it fires, arguments.
TRIGGERS = {
    ("contexts_tierlimit", "tell_limits"): (ALWAYS, "'limits', '', '', 'tier_id'"),
    ("contexts_quotaoverride", "tell_limits"): (ALWAYS, "'limits', 'tenant_id', 'user_id', ''"),
    ("contexts_quotagrant", "tell_limits"): (ALWAYS, "'limits', 'tenant_id', 'user_id', ''"),
    ("contexts_tier", "tell_tier"): (
        "AFTER UPDATE ON {table} FOR EACH ROW WHEN (" + _differs("slug", "weight", "fallback_model") + ")",
        "'tier', '', '', 'id'",
    ),
    ("contexts_tenant", "tell_tenant"): (
        "AFTER UPDATE ON {table} FOR EACH ROW WHEN (" + _differs("tier_id", "is_active") + ")",
        "'tenant', 'id', '', ''",
    ),
    ("contexts_membership", "tell_membership"): (
        "AFTER INSERT OR DELETE ON {table} FOR EACH ROW",
        "'membership', 'tenant_id', 'user_id', ''",
    ),
    ("contexts_membership", "tell_role"): (
        "AFTER UPDATE ON {table} FOR EACH ROW WHEN (" + _differs("role", "tenant_id", "user_id") + ")",
        "'membership', 'tenant_id', 'user_id', ''",
    ),
    ("contexts_user", "tell_user"): (
        "AFTER UPDATE ON {table} FOR EACH ROW WHEN (" + _differs("is_active") + ")",
        "'user', '', 'id', ''",
    ),
    ("contexts_user", "tell_user_gone"): (
        "AFTER DELETE ON {table} FOR EACH ROW",
        "'user', '', 'id', ''",
    ),
}


class Migration(migrations.Migration):
    dependencies = [("contexts", "0009_quota_row_security")]
    operations = [
        migrations.RunSQL(TELL, "DROP FUNCTION netra_tell_change()"),
        migrations.RunSQL(
            [
                f"CREATE TRIGGER {name} {when.format(table=table)} EXECUTE FUNCTION netra_tell_change({arguments})"
                for (table, name), (when, arguments) in TRIGGERS.items()
            ],
            [f"DROP TRIGGER {name} ON {table}" for table, name in TRIGGERS],
        ),
    ]
