"""Whose turn it is, by start-time fair queuing."""

from django.db import migrations

from contexts.row_security import secure

# The same reasons as in contexts' 0005 and 0008: a pinned search path, and a scope of its own that ends
# with the call. The virtual time is the tag of the job that is taken next; with none waiting, of the newest
# that is being done.
PIN_SEARCH_PATH = "SELECT set_config('search_path', format('%I, pg_temp', current_schema()), true)"
TAKE_TURN = """
CREATE FUNCTION netra_take_turn(p_tenant uuid, p_queue text) RETURNS bigint
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    v_outer text := coalesce(current_setting('netra.scope', true), '');
    v_step bigint;
    v_now bigint;
    v_tag bigint;
BEGIN
    PERFORM set_config('netra.scope', 'system', true);
    SELECT 100 / tier.weight INTO v_step
        FROM contexts_tenant tenant JOIN contexts_tier tier ON tier.id = tenant.tier_id
        WHERE tenant.id = p_tenant;
    SELECT coalesce(
            min(-job.priority) FILTER (WHERE job.status = 'todo'),
            max(-job.priority) FILTER (WHERE job.status = 'doing'), 0) INTO v_now
        FROM procrastinate_jobs job WHERE job.queue_name = p_queue AND job.status IN ('todo', 'doing');
    INSERT INTO agents_tenantturn AS turn (tenant_id, tag) VALUES (p_tenant, v_now)
        ON CONFLICT (tenant_id) DO UPDATE SET tag = greatest(turn.tag + v_step, v_now)
        RETURNING turn.tag INTO v_tag;
    PERFORM set_config('netra.scope', v_outer, true);
    RETURN v_tag;
END $$
"""
FORGET_PLACES = "UPDATE procrastinate_jobs SET args = args - 'concurrent_runs' WHERE args ? 'concurrent_runs'"


class Migration(migrations.Migration):
    dependencies = [
        ("agents", "0005_waiting_line"),
        ("contexts", "0009_quota_row_security"),
        ("procrastinate", "0001_initial"),
    ]
    operations = [
        secure("agents_tenantturn"),
        migrations.RunSQL([PIN_SEARCH_PATH], []),
        migrations.RunSQL(TAKE_TURN, "DROP FUNCTION netra_take_turn(uuid, text)"),
        migrations.RunSQL([FORGET_PLACES], []),
    ]
