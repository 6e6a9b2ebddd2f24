"""Finished steps of runs are kept, by the same statement as the events that tell of them."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

from contexts.row_security import EVENT_LOG, OWN, secure

# As in 0002: a step cannot name another owner than its run's.
TIE = """
ALTER TABLE agents_runstep ADD CONSTRAINT agents_runstep_run_id_owner
    FOREIGN KEY (run_id, tenant_id, user_id) REFERENCES agents_run (id, tenant_id, user_id)
    DEFERRABLE INITIALLY DEFERRED
"""

# An event or a step is written only while its run is still with the attempt that reports it; the shared lock
# on the run's row makes a take-over wait until what came before it is committed. `p_events` are frames
# (`agents.events.Event.frame`), `p_attempts` the attempt that reports each, `p_runs` the runs of the events.
# The steps come as four arrays. Returned are the places, from 1, of the events that were refused, and those
# of the steps, negated; NULL when none was. What is there already was written by a call whose answer was
# lost, which is no refusal.
APPEND = """
CREATE FUNCTION netra_append_events(p_events jsonb, p_attempts int[], p_runs uuid[],
    p_step_runs uuid[] DEFAULT NULL, p_step_attempts int[] DEFAULT NULL, p_step_names text[] DEFAULT NULL,
    p_step_contents text[] DEFAULT NULL) RETURNS int[]
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_outer text := coalesce(current_setting('netra.scope', true), '');
    v_written int;
    v_refused int[];
    v_refused_steps int[];
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
    IF p_step_runs IS NOT NULL THEN
        WITH running AS MATERIALIZED (
            SELECT id, tenant_id, user_id, attempt FROM agents_run
            WHERE id = ANY (p_step_runs) AND status = 'running'
            FOR SHARE
        ),
        new AS MATERIALIZED (
            SELECT new.*, running.tenant_id, running.user_id
            FROM unnest(p_step_runs, p_step_attempts, p_step_names, p_step_contents) WITH ORDINALITY
                AS new (run_id, attempt, name, content, place)
            LEFT JOIN running ON running.id = new.run_id AND running.attempt = new.attempt
        ),
        kept AS (
            INSERT INTO agents_runstep (run_id, name, tenant_id, user_id, attempt, content)
            SELECT run_id, name, tenant_id, user_id, attempt, content FROM new WHERE tenant_id IS NOT NULL
            ON CONFLICT (run_id, name) DO NOTHING
        )
        SELECT array_agg(-place::int) INTO v_refused_steps FROM new WHERE tenant_id IS NULL;
        v_refused := array_cat(v_refused, v_refused_steps);
    END IF;
    PERFORM set_config('netra.scope', v_outer, true);
    RETURN v_refused;
END $$
"""
APPEND_BEFORE = "netra_append_events(jsonb, int[], uuid[])"
APPEND_NOW = "netra_append_events(jsonb, int[], uuid[], uuid[], int[], text[], text[])"


def append_without_steps() -> str:
    """Return what makes the function as it was before."""
    from importlib import import_module

    return str(import_module("agents.migrations.0007_append_events").APPEND)


class Migration(migrations.Migration):
    dependencies = [
        ("agents", "0008_tool_calls"),
        ("contexts", "0014_open_sockets"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="run",
            name="cancel_requested_by",
            field=models.CharField(
                blank=True,
                choices=[("user", "User"), ("operator", "Operator"), ("sign_out", "Sign Out")],
                default="",
                help_text="Who asked for it.",
                max_length=16,
            ),
        ),
        migrations.AddField(
            model_name="run",
            name="hand_backs",
            field=models.PositiveIntegerField(
                default=0,
                help_text="How many attempts were given back undone, as when their worker was stopped.",
            ),
        ),
        migrations.CreateModel(
            name="RunStep",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "run_id", "name", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("name", models.CharField(max_length=160)),
                ("attempt", models.PositiveIntegerField(help_text="Which attempt took it.")),
                (
                    "content",
                    models.TextField(help_text="JSON, as it came: not redacted, and shown to no one."),
                ),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "run",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="steps",
                        to="agents.run",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="contexts.tenant",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={"ordering": ("run_id", "created_at", "name")},
        ),
        migrations.RunSQL(TIE, "ALTER TABLE agents_runstep DROP CONSTRAINT agents_runstep_run_id_owner"),
        secure(
            "agents_runstep",
            select_own=OWN,
            delete_own=OWN,
            select_event_log=EVENT_LOG,
            insert_event_log=EVENT_LOG,
        ),
        # One function with defaults: workers of the version before call it without steps.
        migrations.RunSQL(
            [f"DROP FUNCTION {APPEND_BEFORE}", APPEND],
            [f"DROP FUNCTION {APPEND_NOW}", append_without_steps()],
        ),
    ]
