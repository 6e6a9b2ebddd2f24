"""Many sockets' places and records are taken, and given back, by one statement, with all that audits them.

Locks are taken as by `0008_quota_functions`: reservations by id, then a resource's counters, members' before
tenants', each in order of their ids; so no batch and no single call wait for each other. Records come after
counters, by id; the audit's chains last, at commit.
"""

from django.db import migrations

# ruff: noqa: S608 - put together from constants

GENERIC = "SET plan_cache_mode = force_generic_plan"

# Returns, for each socket that has no place, what `netra_reserve_quota` says; nothing is recorded of it.
OPEN = f"""
CREATE FUNCTION netra_open_sockets(p_sockets jsonb, p_lease interval, p_host text, p_process int,
    p_process_start timestamptz, p_life interval)
RETURNS TABLE (refused_context uuid, refused_by text, resource text, window_start timestamptz,
    "limit" numeric, soft_percent smallint, used numeric, reserved numeric) LANGUAGE plpgsql {GENERIC} AS $$
#variable_conflict use_column
DECLARE
    v_outer text := coalesce(current_setting('netra.scope', true), '');
    v_resource text := 'websocket_connections';
    v_tenants uuid[];
    v_users uuid[];
    v_socket record;
    v_refused uuid[] := '{{}}';
BEGIN
    IF v_outer = 'user' THEN
        RAISE EXCEPTION 'Sockets of many users are not opened in the scope of one.'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM set_config('netra.scope', 'system', true);
    SELECT array_agg(tenant_id ORDER BY tenant_id, user_id), array_agg(user_id ORDER BY tenant_id, user_id)
        INTO v_tenants, v_users
        FROM (SELECT DISTINCT tenant_id, user_id
            FROM jsonb_to_recordset(p_sockets) AS socket (tenant_id uuid, user_id uuid)) AS members;
    -- A counter that somebody else makes meanwhile is locked at the second try, before any that comes after it.
    FOR i IN 1 .. cardinality(v_users) LOOP
        LOOP
            PERFORM FROM contexts_quotausage WHERE tenant_id = v_tenants[i] AND user_id = v_users[i]
                AND resource = v_resource AND window_start = 'epoch' FOR UPDATE;
            EXIT WHEN FOUND;
            INSERT INTO contexts_quotausage (tenant_id, user_id, resource, window_start, used, reserved)
                VALUES (v_tenants[i], v_users[i], v_resource, 'epoch', 0, 0) ON CONFLICT DO NOTHING;
            EXIT WHEN FOUND;
        END LOOP;
    END LOOP;
    FOR i IN 1 .. cardinality(v_tenants) LOOP
        CONTINUE WHEN v_tenants[i] = v_tenants[i - 1];
        LOOP
            PERFORM FROM contexts_tenantquotausage WHERE tenant_id = v_tenants[i]
                AND resource = v_resource AND window_start = 'epoch' FOR UPDATE;
            EXIT WHEN FOUND;
            INSERT INTO contexts_tenantquotausage (tenant_id, resource, window_start, used, reserved)
                VALUES (v_tenants[i], v_resource, 'epoch', 0, 0) ON CONFLICT DO NOTHING;
            EXIT WHEN FOUND;
        END LOOP;
    END LOOP;
    FOR v_socket IN SELECT * FROM jsonb_to_recordset(p_sockets)
        AS socket (context_id uuid, lease_id uuid, tenant_id uuid, user_id uuid)
    LOOP
        RETURN QUERY SELECT v_socket.context_id, granted.* FROM netra_reserve_quota(v_socket.lease_id,
                v_socket.tenant_id, v_socket.user_id, 'socket', p_lease, ARRAY[v_resource],
                ARRAY[1::numeric], NULL, false) AS granted
            WHERE granted.refused_by IS NOT NULL;
        IF FOUND THEN
            v_refused := v_refused || v_socket.context_id;
        END IF;
    END LOOP;
    INSERT INTO contexts_contextrecord (id, tenant_id, user_id, operation, host, process_id,
            process_started_at, expires_at, close_reason)
        SELECT context_id, tenant_id, user_id, 'socket', p_host, p_process, p_process_start,
            created_at + p_life, ''
        FROM jsonb_to_recordset(p_sockets)
            AS socket (context_id uuid, tenant_id uuid, user_id uuid, created_at timestamptz)
        WHERE NOT context_id = ANY (v_refused);
    INSERT INTO contexts_auditentry (tenant_id, user_id, action, context_id, request_id, details)
        SELECT tenant_id, user_id, 'context_opened', context_id, request_id, '{{"operation": "socket"}}'
        FROM jsonb_to_recordset(p_sockets)
            AS socket (context_id uuid, request_id uuid, tenant_id uuid, user_id uuid)
        WHERE NOT context_id = ANY (v_refused);
    PERFORM set_config('netra.scope', v_outer, true);
END $$
"""

# Releases whole reservations, of any member and resource, as `netra_settle_quota` does one by one; in a
# user's scope those of its tenant alone. Returns how many had not ended before.
LINES = """contexts_quotareservation r
            CROSS JOIN LATERAL unnest(r.resources, r.window_starts, r.amounts) AS l (resource, start, amount)
            WHERE r.id = ANY (v_held)"""
RELEASE = f"""
CREATE FUNCTION netra_release_quotas(p_ids uuid[]) RETURNS bigint LANGUAGE plpgsql {GENERIC} AS $$
DECLARE
    v_outer text := netra_enter_quotas(NULL);
    v_at timestamptz := clock_timestamp();
    v_held uuid[];
    v_counter record;
BEGIN
    SELECT coalesce(array_agg(h.id), '{{}}') INTO v_held FROM (
        SELECT r.id FROM contexts_quotareservation r
        WHERE r.id = ANY (p_ids)
            AND (v_outer <> 'user' OR r.tenant_id::text = current_setting('netra.tenant_id', true))
        ORDER BY r.id FOR UPDATE) AS h;
    FOR v_counter IN SELECT DISTINCT l.resource, l.start FROM {LINES} ORDER BY 1, 2 LOOP
        PERFORM FROM contexts_quotausage c
            WHERE c.resource = v_counter.resource AND c.window_start = v_counter.start
                AND (c.tenant_id, c.user_id) IN (
                    SELECT r.tenant_id, r.user_id FROM contexts_quotareservation r WHERE r.id = ANY (v_held))
            ORDER BY c.tenant_id, c.user_id FOR UPDATE;
        UPDATE contexts_quotausage c SET reserved = c.reserved - freed.amount, updated_at = v_at
            FROM (SELECT r.tenant_id, r.user_id, sum(l.amount) AS amount FROM {LINES}
                AND l.resource = v_counter.resource AND l.start = v_counter.start GROUP BY 1, 2) AS freed
            WHERE c.tenant_id = freed.tenant_id AND c.user_id = freed.user_id
                AND c.resource = v_counter.resource AND c.window_start = v_counter.start;
        PERFORM FROM contexts_tenantquotausage c
            WHERE c.resource = v_counter.resource AND c.window_start = v_counter.start
                AND c.tenant_id IN (
                    SELECT r.tenant_id FROM contexts_quotareservation r WHERE r.id = ANY (v_held))
            ORDER BY c.tenant_id FOR UPDATE;
        UPDATE contexts_tenantquotausage c SET reserved = c.reserved - freed.amount, updated_at = v_at
            FROM (SELECT r.tenant_id, sum(l.amount) AS amount FROM {LINES}
                AND l.resource = v_counter.resource AND l.start = v_counter.start GROUP BY 1) AS freed
            WHERE c.tenant_id = freed.tenant_id
                AND c.resource = v_counter.resource AND c.window_start = v_counter.start;
    END LOOP;
    INSERT INTO contexts_quotaentry
        (created_at, tenant_id, user_id, resource, window_start, kind, used, reserved, reservation_id)
        SELECT v_at, r.tenant_id, r.user_id, l.resource, l.start, 'released', 0, -l.amount, r.id
        FROM {LINES} AND l.amount > 0;
    DELETE FROM contexts_quotareservation r WHERE r.id = ANY (v_held);
    PERFORM set_config('netra.scope', v_outer, true);
    RETURN cardinality(v_held);
END $$
"""

# A context whose record was closed already, as one that had expired, is audited no second time.
CLOSE = f"""
CREATE FUNCTION netra_close_contexts(p_contexts jsonb) RETURNS void LANGUAGE plpgsql {GENERIC} AS $$
DECLARE
    v_outer text := coalesce(current_setting('netra.scope', true), '');
    v_ids uuid[] := array(SELECT context_id FROM jsonb_to_recordset(p_contexts) AS closed (context_id uuid));
    v_closed_before uuid[];
BEGIN
    IF v_outer = 'user' AND EXISTS (
        SELECT FROM jsonb_to_recordset(p_contexts) AS closed (tenant_id text, user_id text)
        WHERE (closed.tenant_id, closed.user_id) IS DISTINCT FROM
            (current_setting('netra.tenant_id', true), current_setting('netra.user_id', true)))
    THEN
        RAISE EXCEPTION 'Another user''s context was about to be closed.'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM set_config('netra.scope', 'system', true);
    SELECT coalesce(array_agg(r.id) FILTER (WHERE r.closed_at IS NOT NULL), '{{}}') INTO v_closed_before
        FROM (SELECT id, closed_at FROM contexts_contextrecord
            WHERE id = ANY (v_ids) ORDER BY id FOR UPDATE) AS r;
    UPDATE contexts_contextrecord SET closed_at = clock_timestamp(), close_reason = 'finished'
        WHERE id = ANY (v_ids) AND closed_at IS NULL;
    INSERT INTO contexts_auditentry (tenant_id, user_id, action, context_id, run_id, request_id, details)
        SELECT tenant_id, user_id, 'context_closed', context_id, run_id, request_id,
            jsonb_build_object('operation', operation)
        FROM jsonb_to_recordset(p_contexts) AS closed (context_id uuid, run_id uuid, request_id uuid,
            tenant_id uuid, user_id uuid, operation text)
        WHERE NOT context_id = ANY (v_closed_before);
    PERFORM set_config('netra.scope', v_outer, true);
END $$
"""

FUNCTIONS = {
    "netra_open_sockets(jsonb, interval, text, int, timestamptz, interval)": OPEN,
    "netra_release_quotas(uuid[])": RELEASE,
    "netra_close_contexts(jsonb)": CLOSE,
}


class Migration(migrations.Migration):
    dependencies = [("contexts", "0013_tell_sign_ins")]
    operations = [
        migrations.RunSQL(
            list(FUNCTIONS.values()), [f"DROP FUNCTION {name}" for name in reversed(FUNCTIONS)]
        ),
    ]
