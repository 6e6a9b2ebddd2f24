"""Events are appended by a function, so that many runs' events are one statement and one round trip."""

from django.db import migrations

# An event is written only while its run is still with the attempt that reports it; the shared lock on
# the run's row makes a take-over wait until the events before it are committed. `p_events` are frames
# (`agents.events.Event.frame`), `p_attempts` the attempt that reports each, `p_runs` the runs they are of.
# Returned are the places, from 1, of the events that were refused; NULL when none was. An event that is
# there already was written by a call whose answer was lost, which is no refusal.
APPEND = """
CREATE FUNCTION netra_append_events(p_events jsonb, p_attempts int[], p_runs uuid[]) RETURNS int[]
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_outer text := coalesce(current_setting('netra.scope', true), '');
    v_written int;
    v_refused int[];
BEGIN
    PERFORM set_config('netra.scope', 'event_log', true);
    WITH running AS MATERIALIZED (
        SELECT id, tenant_id, user_id, thread_id, attempt FROM agents_run
        WHERE id = ANY (p_runs) AND status = 'running'
        FOR SHARE
    )
    INSERT INTO agents_runevent
        (run_id, seq, tenant_id, user_id, thread_id, type, agent_name, data, created_at)
    SELECT new.run_id, new.seq, running.tenant_id, running.user_id, running.thread_id, new.type,
        new.agent_name, new.data, new.created_at
    FROM ROWS FROM (
        jsonb_to_recordset(p_events) AS (run_id uuid, seq int, type text, agent_name text,
            "timestamp" timestamptz, data jsonb),
        unnest(p_attempts)
    ) AS new (run_id, seq, type, agent_name, created_at, data, attempt)
    JOIN running ON running.id = new.run_id AND running.attempt = new.attempt
    ON CONFLICT (run_id, seq) DO NOTHING;
    GET DIAGNOSTICS v_written = ROW_COUNT;
    IF v_written < cardinality(p_attempts) THEN
        SELECT array_agg(new.place::int) INTO v_refused
        FROM ROWS FROM (
            jsonb_to_recordset(p_events) AS (run_id uuid, seq int, type text, "timestamp" timestamptz)
        ) WITH ORDINALITY AS new (run_id, seq, type, created_at, place)
        WHERE NOT EXISTS (SELECT FROM agents_runevent known
            WHERE known.run_id = new.run_id AND known.seq = new.seq
                AND known.created_at = new.created_at AND known.type = new.type);
    END IF;
    PERFORM set_config('netra.scope', v_outer, true);
    RETURN v_refused;
END $$
"""


class Migration(migrations.Migration):
    dependencies = [("agents", "0006_turns")]
    operations = [
        migrations.RunSQL(APPEND, "DROP FUNCTION netra_append_events(jsonb, int[], uuid[])"),
    ]
