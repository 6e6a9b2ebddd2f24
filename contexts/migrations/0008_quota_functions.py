"""Reserving, drawing, settling and expiring quota: each a function, so that each is one statement.

Counters, reservation and ledger change together or not at all. All functions lock in one order, so that
no two wait for each other: reservations, then counters by resource and window, members' before the tenant's.
Counters and ledger are written by nobody else: row-level security lets members read them, and a function
opens a system scope for its own time. Called within a user's scope, it works on that scope's tenant alone.
"""

from django.db import migrations

# ruff: noqa: S608 - put together from constants

# Otherwise the statements within are planned anew at most calls, which takes longer than to execute them.
GENERIC = "SET plan_cache_mode = force_generic_plan"

# What `contexts.resources.RULES` says: over which time a resource counts, and a member's limit where none
# is stated.
WINDOWS = """
CREATE FUNCTION netra_counts_per(p_resource text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE p_resource
        WHEN 'agent_runs' THEN 'day' WHEN 'tokens' THEN 'day' WHEN 'cpu_seconds' THEN 'day'
        WHEN 'cost_usd' THEN 'month' WHEN 'messages' THEN 'minute'
        WHEN 'concurrent_runs' THEN 'lease' WHEN 'websocket_connections' THEN 'lease'
        WHEN 'memory_bytes' THEN 'context' WHEN 'run_seconds' THEN 'run'
        WHEN 'storage_bytes' THEN 'total' WHEN 'retention_days' THEN 'total' END
$$
"""
FALLBACKS = """
CREATE FUNCTION netra_fallback_limit(p_resource text) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$
    SELECT (CASE p_resource
        WHEN 'agent_runs' THEN 10 WHEN 'tokens' THEN 50000 WHEN 'cpu_seconds' THEN 60
        WHEN 'cost_usd' THEN 1 WHEN 'messages' THEN 30
        WHEN 'concurrent_runs' THEN 1 WHEN 'websocket_connections' THEN 2
        WHEN 'memory_bytes' THEN 268435456 WHEN 'run_seconds' THEN 30
        WHEN 'storage_bytes' THEN 50000000 WHEN 'retention_days' THEN 7 END)::numeric
$$
"""
WINDOW_START = """
CREATE FUNCTION netra_window_start(p_resource text, p_at timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN netra_counts_per(p_resource) IN ('minute', 'day', 'month')
        THEN date_trunc(netra_counts_per(p_resource), p_at, 'UTC') ELSE 'epoch' END
$$
"""

# The limits in force: a grant adds to an override, which stands in for the tier's; infinite for the tenant
# where nothing is stated.
LIMIT = """
CREATE FUNCTION netra_quota_limit(p_tenant uuid, p_user uuid, p_resource text, p_at timestamptz,
    OUT window_start timestamptz, OUT member_limit numeric, OUT tenant_limit numeric,
    OUT soft_percent smallint) LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_is_overridden boolean;
    v_is_granted boolean;
    v_override numeric;
    v_granted record;
BEGIN
    SELECT t."limit", t.tenant_limit, t.soft_percent,
            EXISTS (SELECT FROM contexts_quotaoverride o
                WHERE o.tenant_id = p_tenant AND o.resource = p_resource),
            EXISTS (SELECT FROM contexts_quotagrant g
                WHERE g.tenant_id = p_tenant AND g.resource = p_resource)
        INTO member_limit, tenant_limit, soft_percent, v_is_overridden, v_is_granted
        FROM contexts_tenant tenant
        LEFT JOIN contexts_tierlimit t ON t.tier_id = tenant.tier_id AND t.resource = p_resource
        WHERE tenant.id = p_tenant;
    window_start := netra_window_start(p_resource, p_at);
    member_limit := coalesce(member_limit, netra_fallback_limit(p_resource));
    tenant_limit := coalesce(tenant_limit, 'Infinity');
    soft_percent := coalesce(soft_percent, 80);
    IF v_is_overridden THEN
        SELECT o."limit" INTO v_override FROM contexts_quotaoverride o
            WHERE o.tenant_id = p_tenant AND o.resource = p_resource AND o.applies_to = 'member'
                AND (o.user_id = p_user OR o.user_id IS NULL) AND (o.expires_at IS NULL OR o.expires_at > p_at)
            ORDER BY o.user_id NULLS LAST, o.created_at DESC, o.id DESC LIMIT 1;
        member_limit := coalesce(v_override, member_limit);
        SELECT o."limit" INTO v_override FROM contexts_quotaoverride o
            WHERE o.tenant_id = p_tenant AND o.resource = p_resource AND o.applies_to = 'tenant'
                AND (o.expires_at IS NULL OR o.expires_at > p_at)
            ORDER BY o.created_at DESC, o.id DESC LIMIT 1;
        tenant_limit := coalesce(v_override, tenant_limit);
    END IF;
    IF v_is_granted THEN
        SELECT coalesce(sum(g.amount) FILTER (WHERE g.applies_to = 'member'), 0) AS member,
                coalesce(sum(g.amount) FILTER (WHERE g.applies_to = 'tenant'), 0) AS tenant INTO v_granted
            FROM contexts_quotagrant g
            WHERE g.tenant_id = p_tenant AND g.resource = p_resource
                AND g.window_start = netra_quota_limit.window_start
                AND (g.user_id = p_user OR g.user_id IS NULL) AND (g.expires_at IS NULL OR g.expires_at > p_at);
        member_limit := member_limit + v_granted.member;
        tenant_limit := tenant_limit + v_granted.tenant;
    END IF;
END $$
"""

# Returns the kind of scope to go back to.
ENTER = """
CREATE FUNCTION netra_enter_quotas(p_tenant uuid) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_outer text := coalesce(current_setting('netra.scope', true), '');
BEGIN
    IF v_outer = 'user' AND current_setting('netra.tenant_id', true) <> p_tenant::text THEN
        RAISE EXCEPTION 'Another tenant''s quota was about to be changed.'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM set_config('netra.scope', 'system', true);
    RETURN v_outer;
END $$
"""
MAKE_COUNTERS = """
CREATE FUNCTION netra_make_counters(p_tenant uuid, p_user uuid, p_resource text, p_start timestamptz)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO contexts_quotausage (tenant_id, user_id, resource, window_start, used, reserved)
        VALUES (p_tenant, p_user, p_resource, p_start, 0, 0) ON CONFLICT DO NOTHING;
    INSERT INTO contexts_tenantquotausage (tenant_id, resource, window_start, used, reserved)
        VALUES (p_tenant, p_resource, p_start, 0, 0) ON CONFLICT DO NOTHING;
END $$
"""

# Without `p_id` the amounts are used at once; `p_extends` adds them to the reservation that is there, and
# returns nothing when it is not. Otherwise a row for each resource; the last one may be a refusal, and then
# nothing has changed. `p_resources` are sorted.
RESERVE = f"""
CREATE FUNCTION netra_reserve_quota(p_id uuid, p_tenant uuid, p_user uuid, p_purpose text, p_ttl interval,
    p_resources text[], p_amounts numeric[], p_at timestamptz, p_extends boolean)
RETURNS TABLE (refused_by text, resource text, window_start timestamptz, "limit" numeric,
    soft_percent smallint, used numeric, reserved numeric) LANGUAGE plpgsql {GENERIC} AS $$
DECLARE
    v_outer text := netra_enter_quotas(p_tenant);
    v_at timestamptz := coalesce(p_at, clock_timestamp());
    v_limit record;
    v_starts timestamptz[] := '{{}}';
    v_used numeric;
    v_reserved numeric;
BEGIN
    IF p_extends THEN
        PERFORM FROM contexts_quotareservation r
            WHERE r.id = p_id AND r.tenant_id = p_tenant AND r.user_id = p_user FOR UPDATE;
        IF NOT FOUND THEN
            PERFORM set_config('netra.scope', v_outer, true);
            RETURN;
        END IF;
    END IF;
    FOR i IN 1 .. cardinality(p_resources) LOOP
        resource := p_resources[i];
        v_used := CASE WHEN p_id IS NULL THEN p_amounts[i] ELSE 0 END;
        v_reserved := p_amounts[i] - v_used;
        SELECT * INTO v_limit FROM netra_quota_limit(p_tenant, p_user, resource, v_at);
        window_start := v_limit.window_start;
        soft_percent := v_limit.soft_percent;
        v_starts := v_starts || window_start;
        -- The second time there are counters, whoever made them.
        FOR v_try IN 1 .. 2 LOOP
            refused_by := 'member';
            "limit" := v_limit.member_limit;
            UPDATE contexts_quotausage c
                SET used = c.used + v_used, reserved = c.reserved + v_reserved, updated_at = v_at
                WHERE c.tenant_id = p_tenant AND c.resource = p_resources[i]
                    AND c.window_start = v_limit.window_start AND c.user_id = p_user
                    AND c.used + c.reserved + p_amounts[i] <= v_limit.member_limit
                RETURNING c.used, c.reserved INTO used, reserved;
            EXIT WHEN used IS NOT NULL OR v_try = 2;
            PERFORM netra_make_counters(p_tenant, p_user, resource, window_start);
        END LOOP;
        IF used IS NOT NULL THEN
            refused_by := 'tenant';
            UPDATE contexts_tenantquotausage c
                SET used = c.used + v_used, reserved = c.reserved + v_reserved, updated_at = v_at
                WHERE c.tenant_id = p_tenant AND c.resource = p_resources[i]
                    AND c.window_start = v_limit.window_start
                    AND c.used + c.reserved + p_amounts[i] <= v_limit.tenant_limit;
            IF FOUND THEN
                refused_by := NULL;
                RETURN NEXT;
                CONTINUE;
            END IF;
        END IF;
        -- All or nothing: what was added is taken back, still under the same locks.
        FOR k IN 1 .. i - CASE refused_by WHEN 'member' THEN 1 ELSE 0 END LOOP
            UPDATE contexts_quotausage c
                SET used = c.used - CASE WHEN p_id IS NULL THEN p_amounts[k] ELSE 0 END,
                    reserved = c.reserved - CASE WHEN p_id IS NULL THEN 0 ELSE p_amounts[k] END
                WHERE c.tenant_id = p_tenant AND c.resource = p_resources[k]
                    AND c.window_start = v_starts[k] AND c.user_id = p_user;
            CONTINUE WHEN k = i;
            UPDATE contexts_tenantquotausage c
                SET used = c.used - CASE WHEN p_id IS NULL THEN p_amounts[k] ELSE 0 END,
                    reserved = c.reserved - CASE WHEN p_id IS NULL THEN 0 ELSE p_amounts[k] END
                WHERE c.tenant_id = p_tenant AND c.resource = p_resources[k]
                    AND c.window_start = v_starts[k];
        END LOOP;
        IF refused_by = 'member' THEN
            SELECT c.used, c.reserved INTO used, reserved FROM contexts_quotausage c
                WHERE c.tenant_id = p_tenant AND c.resource = p_resources[i]
                    AND c.window_start = v_limit.window_start AND c.user_id = p_user;
        ELSE
            "limit" := v_limit.tenant_limit;
            SELECT c.used, c.reserved INTO used, reserved FROM contexts_tenantquotausage c
                WHERE c.tenant_id = p_tenant AND c.resource = p_resources[i]
                    AND c.window_start = v_limit.window_start;
        END IF;
        PERFORM set_config('netra.scope', v_outer, true);
        RETURN NEXT;
        RETURN;
    END LOOP;
    IF p_extends THEN
        UPDATE contexts_quotareservation r
            SET (resources, window_starts, amounts) = (
                SELECT array_agg(l.resource), array_agg(l.start), array_agg(l.amount) FROM (
                    SELECT line.resource, line.start, sum(line.amount) AS amount FROM (
                        SELECT * FROM unnest(r.resources, r.window_starts, r.amounts)
                        UNION ALL SELECT * FROM unnest(p_resources, v_starts, p_amounts)
                    ) AS line (resource, start, amount) GROUP BY line.resource, line.start) AS l)
            WHERE r.id = p_id;
    END IF;
    WITH held AS (
        INSERT INTO contexts_quotareservation
            (id, tenant_id, user_id, purpose, resources, window_starts, amounts, created_at, expires_at)
            SELECT p_id, p_tenant, p_user, p_purpose, p_resources, v_starts, p_amounts, v_at, v_at + p_ttl
            WHERE p_id IS NOT NULL AND NOT p_extends
    )
    INSERT INTO contexts_quotaentry
        (created_at, tenant_id, user_id, resource, window_start, kind, used, reserved, reservation_id)
        SELECT v_at, p_tenant, p_user, l.resource, l.start,
            CASE WHEN p_id IS NULL THEN 'used' ELSE 'reserved' END,
            CASE WHEN p_id IS NULL THEN l.amount ELSE 0 END, CASE WHEN p_id IS NULL THEN 0 ELSE l.amount END,
            p_id
        FROM unnest(p_resources, v_starts, p_amounts) AS l (resource, start, amount);
    PERFORM set_config('netra.scope', v_outer, true);
END $$
"""

# Changes one counter of a member and of the tenant, and writes the ledger.
BOOK = """
CREATE FUNCTION netra_book_quota(p_tenant uuid, p_user uuid, p_resource text, p_start timestamptz,
    p_used numeric, p_reserved numeric, p_reservation uuid, p_kind text, p_at timestamptz)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    LOOP
        UPDATE contexts_quotausage c
            SET used = c.used + p_used, reserved = c.reserved + p_reserved, updated_at = p_at
            WHERE c.tenant_id = p_tenant AND c.resource = p_resource AND c.window_start = p_start
                AND c.user_id = p_user;
        EXIT WHEN FOUND;
        PERFORM netra_make_counters(p_tenant, p_user, p_resource, p_start);
    END LOOP;
    UPDATE contexts_tenantquotausage c
        SET used = c.used + p_used, reserved = c.reserved + p_reserved, updated_at = p_at
        WHERE c.tenant_id = p_tenant AND c.resource = p_resource AND c.window_start = p_start;
    INSERT INTO contexts_quotaentry
        (created_at, tenant_id, user_id, resource, window_start, kind, used, reserved, reservation_id)
        VALUES (p_at, p_tenant, p_user, p_resource, p_start, p_kind, p_used, p_reserved, p_reservation);
END $$
"""

# Books what was really used: with `p_keeps` the rest stays reserved, otherwise the reservation ends. A
# resource in several windows is charged to the newest; one that was not reserved, to the window of now.
# Returns whether there was such a reservation.
SETTLE = f"""
CREATE FUNCTION netra_settle_quota(p_id uuid, p_tenant uuid, p_resources text[], p_actual numeric[],
    p_keeps boolean, p_at timestamptz) RETURNS boolean LANGUAGE plpgsql {GENERIC} AS $$
DECLARE
    v_outer text := netra_enter_quotas(p_tenant);
    v_at timestamptz := coalesce(p_at, clock_timestamp());
    v_held record;
    v_line record;
BEGIN
    IF p_keeps THEN
        SELECT r.user_id, r.resources, r.window_starts, r.amounts INTO v_held
            FROM contexts_quotareservation r WHERE r.id = p_id AND r.tenant_id = p_tenant FOR UPDATE;
    ELSE
        DELETE FROM contexts_quotareservation r WHERE r.id = p_id AND r.tenant_id = p_tenant
            RETURNING r.user_id, r.resources, r.window_starts, r.amounts INTO v_held;
    END IF;
    IF NOT FOUND THEN
        PERFORM set_config('netra.scope', v_outer, true);
        RETURN false;
    END IF;
    FOR v_line IN
        SELECT coalesce(held.resource, actual.resource) AS resource,
            coalesce(held.start, netra_window_start(actual.resource, v_at)) AS start,
            coalesce(actual.amount, 0) AS used,
            CASE WHEN p_keeps THEN least(coalesce(held.amount, 0), coalesce(actual.amount, 0))
                ELSE coalesce(held.amount, 0) END AS freed,
            held.number
        FROM (
            SELECT l.*, row_number() OVER (PARTITION BY l.resource ORDER BY l.start DESC) = 1 AS is_newest
            FROM unnest(v_held.resources, v_held.window_starts, v_held.amounts) WITH ORDINALITY
                AS l (resource, start, amount, number)
        ) AS held
        FULL JOIN unnest(p_resources, p_actual) AS actual (resource, amount)
            ON held.resource = actual.resource AND held.is_newest
        ORDER BY 1, 2
    LOOP
        CONTINUE WHEN v_line.used = 0 AND v_line.freed = 0;
        PERFORM netra_book_quota(p_tenant, v_held.user_id, v_line.resource, v_line.start, v_line.used,
            -v_line.freed, p_id, CASE WHEN p_keeps THEN 'drawn' WHEN cardinality(p_resources) = 0
                THEN 'released' ELSE 'settled' END, v_at);
        IF p_keeps AND v_line.number IS NOT NULL THEN
            v_held.amounts[v_line.number] := v_held.amounts[v_line.number] - v_line.freed;
        END IF;
    END LOOP;
    IF p_keeps THEN
        UPDATE contexts_quotareservation r SET amounts = v_held.amounts WHERE r.id = p_id;
    END IF;
    PERFORM set_config('netra.scope', v_outer, true);
    RETURN true;
END $$
"""

# Refunds a tenant's expired reservations; returns how many there were, whoever has ended them by then. It
# gives up, and returns 0, rather than wait long for others: a caller's transaction may hold what they need.
EXPIRE = """
CREATE FUNCTION netra_expire_quotas(p_tenant uuid, p_at timestamptz) RETURNS bigint LANGUAGE plpgsql
SET lock_timeout = '500ms' AS $$
DECLARE
    v_outer text := netra_enter_quotas(p_tenant);
    v_at timestamptz := coalesce(p_at, clock_timestamp());
    v_found bigint;
    v_dead uuid[];
    v_counter record;
    v_line record;
BEGIN
    SELECT count(*) INTO v_found FROM contexts_quotareservation r
        WHERE r.tenant_id = p_tenant AND r.expires_at <= v_at;
    IF v_found > 0 THEN
        BEGIN
            SELECT array_agg(d.id) INTO v_dead FROM (
                SELECT r.id FROM contexts_quotareservation r
                WHERE r.tenant_id = p_tenant AND r.expires_at <= v_at ORDER BY r.id FOR UPDATE) AS d;
            FOR v_counter IN
                SELECT l.resource, l.start, sum(l.amount) AS amount FROM contexts_quotareservation r
                CROSS JOIN LATERAL unnest(r.resources, r.window_starts, r.amounts)
                    AS l (resource, start, amount)
                WHERE r.id = ANY (v_dead) GROUP BY 1, 2 ORDER BY 1, 2
            LOOP
                FOR v_line IN
                    SELECT r.user_id, sum(l.amount) AS amount FROM contexts_quotareservation r
                    CROSS JOIN LATERAL unnest(r.resources, r.window_starts, r.amounts)
                        AS l (resource, start, amount)
                    WHERE r.id = ANY (v_dead) AND l.resource = v_counter.resource
                        AND l.start = v_counter.start
                    GROUP BY 1 ORDER BY 1
                LOOP
                    UPDATE contexts_quotausage c
                        SET reserved = c.reserved - v_line.amount, updated_at = v_at
                        WHERE c.tenant_id = p_tenant AND c.resource = v_counter.resource
                            AND c.window_start = v_counter.start AND c.user_id = v_line.user_id;
                END LOOP;
                UPDATE contexts_tenantquotausage c
                    SET reserved = c.reserved - v_counter.amount, updated_at = v_at
                    WHERE c.tenant_id = p_tenant AND c.resource = v_counter.resource
                        AND c.window_start = v_counter.start;
            END LOOP;
            INSERT INTO contexts_quotaentry
                (created_at, tenant_id, user_id, resource, window_start, kind, used, reserved, reservation_id)
                SELECT v_at, p_tenant, r.user_id, l.resource, l.start, 'expired', 0, -l.amount, r.id
                FROM contexts_quotareservation r
                CROSS JOIN LATERAL unnest(r.resources, r.window_starts, r.amounts)
                    AS l (resource, start, amount)
                WHERE r.id = ANY (v_dead) AND l.amount > 0;
            DELETE FROM contexts_quotareservation r WHERE r.id = ANY (v_dead);
        EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
            v_found := 0;
        END;
    END IF;
    PERFORM set_config('netra.scope', v_outer, true);
    RETURN v_found;
END $$
"""

# Has reservations last longer; those that have ended or expired are not among what it returns.
RENEW = """
CREATE FUNCTION netra_renew_quotas(p_ids uuid[], p_ttl interval, p_at timestamptz)
RETURNS SETOF uuid LANGUAGE plpgsql AS $$
DECLARE
    v_outer text := netra_enter_quotas(NULL);
    v_at timestamptz := coalesce(p_at, clock_timestamp());
BEGIN
    PERFORM FROM contexts_quotareservation r
        WHERE r.id = ANY (p_ids)
            AND (v_outer <> 'user' OR r.tenant_id::text = current_setting('netra.tenant_id', true))
        ORDER BY r.id FOR UPDATE;
    RETURN QUERY UPDATE contexts_quotareservation r SET expires_at = v_at + p_ttl
        WHERE r.id = ANY (p_ids) AND r.expires_at > v_at
            AND (v_outer <> 'user' OR r.tenant_id::text = current_setting('netra.tenant_id', true))
        RETURNING r.id;
    PERFORM set_config('netra.scope', v_outer, true);
END $$
"""

# Takes back what was used, at most what there is: something was deleted, or an operator resets a counter.
CORRECT = """
CREATE FUNCTION netra_correct_quota(p_tenant uuid, p_user uuid, p_resource text, p_start timestamptz,
    p_less numeric, p_kind text, p_at timestamptz) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
    v_outer text := netra_enter_quotas(p_tenant);
    v_less numeric;
BEGIN
    SELECT least(c.used, p_less) INTO v_less FROM contexts_quotausage c
        WHERE c.tenant_id = p_tenant AND c.resource = p_resource AND c.window_start = p_start
            AND c.user_id = p_user FOR UPDATE;
    IF v_less > 0 THEN
        PERFORM netra_book_quota(p_tenant, p_user, p_resource, p_start, -v_less, 0, NULL, p_kind,
            coalesce(p_at, clock_timestamp()));
    END IF;
    PERFORM set_config('netra.scope', v_outer, true);
    RETURN coalesce(v_less, 0);
END $$
"""

KEEP_LEDGER = """
CREATE FUNCTION netra_keep_quota_ledger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND current_setting('netra.quota_retention', true) = 'on' THEN
        RETURN OLD;
    END IF;
    -- Tests empty every table between them.
    IF TG_OP = 'TRUNCATE' AND current_setting('netra.audit_truncation', true) = 'on' THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION 'The quota ledger is append-only: % is refused.', TG_OP
        USING ERRCODE = 'restrict_violation';
END $$
"""

FUNCTIONS = {
    "netra_counts_per(text)": WINDOWS,
    "netra_fallback_limit(text)": FALLBACKS,
    "netra_window_start(text, timestamptz)": WINDOW_START,
    "netra_quota_limit(uuid, uuid, text, timestamptz)": LIMIT,
    "netra_enter_quotas(uuid)": ENTER,
    "netra_make_counters(uuid, uuid, text, timestamptz)": MAKE_COUNTERS,
    "netra_book_quota(uuid, uuid, text, timestamptz, numeric, numeric, uuid, text, timestamptz)": BOOK,
    "netra_reserve_quota(uuid, uuid, uuid, text, interval, text[], numeric[], timestamptz, boolean)": RESERVE,
    "netra_settle_quota(uuid, uuid, text[], numeric[], boolean, timestamptz)": SETTLE,
    "netra_expire_quotas(uuid, timestamptz)": EXPIRE,
    "netra_renew_quotas(uuid[], interval, timestamptz)": RENEW,
    "netra_correct_quota(uuid, uuid, text, timestamptz, numeric, text, timestamptz)": CORRECT,
    "netra_keep_quota_ledger()": KEEP_LEDGER,
}
TRIGGERS = {
    "quota_keep_ledger": (
        "CREATE TRIGGER {} BEFORE UPDATE OR DELETE ON contexts_quotaentry "
        "FOR EACH ROW EXECUTE FUNCTION netra_keep_quota_ledger()"
    ),
    "quota_keep_whole_ledger": (
        "CREATE TRIGGER {} BEFORE TRUNCATE ON contexts_quotaentry "
        "FOR EACH STATEMENT EXECUTE FUNCTION netra_keep_quota_ledger()"
    ),
}


class Migration(migrations.Migration):
    dependencies = [("contexts", "0007_quota_ledger")]
    operations = [
        migrations.RunSQL(
            list(FUNCTIONS.values()), [f"DROP FUNCTION {name}" for name in reversed(FUNCTIONS)]
        ),
        migrations.RunSQL(
            [statement.format(name) for name, statement in TRIGGERS.items()],
            [f"DROP TRIGGER {name} ON contexts_quotaentry" for name in TRIGGERS],
        ),
    ]
