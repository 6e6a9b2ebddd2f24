"""Many sockets' places and records are taken by one statement, with all that audits them."""

from django.db import migrations

# Locks counters as `0008_quota_functions` does: members' before tenants', each in one order. Returned are the
# contexts that have no place; nothing is recorded of them.
OPEN = """
CREATE FUNCTION netra_open_sockets(p_sockets jsonb, p_lease interval, p_host text, p_process int,
    p_process_start timestamptz, p_life interval) RETURNS uuid[]
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_outer text := coalesce(current_setting('netra.scope', true), '');
    v_resource text := 'websocket_connections';
    v_tenants uuid[];
    v_users uuid[];
    v_socket record;
    v_refused_by text;
    v_refused uuid[] := '{}';
BEGIN
    PERFORM set_config('netra.scope', 'system', true);
    SELECT array_agg(tenant_id ORDER BY tenant_id, user_id), array_agg(user_id ORDER BY tenant_id, user_id)
        INTO v_tenants, v_users
        FROM (SELECT DISTINCT tenant_id, user_id
            FROM jsonb_to_recordset(p_sockets) AS socket (tenant_id uuid, user_id uuid)) AS members;
    FOR i IN 1 .. cardinality(v_users) LOOP
        PERFORM FROM contexts_quotausage WHERE tenant_id = v_tenants[i] AND user_id = v_users[i]
            AND resource = v_resource AND window_start = 'epoch' FOR UPDATE;
        IF NOT FOUND THEN
            INSERT INTO contexts_quotausage (tenant_id, user_id, resource, window_start, used, reserved)
                VALUES (v_tenants[i], v_users[i], v_resource, 'epoch', 0, 0) ON CONFLICT DO NOTHING;
        END IF;
    END LOOP;
    FOR i IN 1 .. cardinality(v_tenants) LOOP
        CONTINUE WHEN v_tenants[i] = v_tenants[i - 1];
        PERFORM FROM contexts_tenantquotausage WHERE tenant_id = v_tenants[i]
            AND resource = v_resource AND window_start = 'epoch' FOR UPDATE;
        IF NOT FOUND THEN
            INSERT INTO contexts_tenantquotausage (tenant_id, resource, window_start, used, reserved)
                VALUES (v_tenants[i], v_resource, 'epoch', 0, 0) ON CONFLICT DO NOTHING;
        END IF;
    END LOOP;
    FOR v_socket IN SELECT * FROM jsonb_to_recordset(p_sockets)
        AS socket (context_id uuid, lease_id uuid, tenant_id uuid, user_id uuid)
    LOOP
        SELECT refused_by INTO v_refused_by FROM netra_reserve_quota(v_socket.lease_id, v_socket.tenant_id,
            v_socket.user_id, 'socket', p_lease, ARRAY[v_resource], ARRAY[1::numeric], NULL, false);
        IF v_refused_by IS NOT NULL THEN
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
        SELECT tenant_id, user_id, 'context_opened', context_id, request_id, '{"operation": "socket"}'
        FROM jsonb_to_recordset(p_sockets)
            AS socket (context_id uuid, request_id uuid, tenant_id uuid, user_id uuid)
        WHERE NOT context_id = ANY (v_refused);
    PERFORM set_config('netra.scope', v_outer, true);
    RETURN v_refused;
END $$
"""


class Migration(migrations.Migration):
    dependencies = [("contexts", "0013_tell_sign_ins")]
    operations = [
        migrations.RunSQL(
            OPEN, "DROP FUNCTION netra_open_sockets(jsonb, interval, text, int, timestamptz, interval)"
        ),
    ]
