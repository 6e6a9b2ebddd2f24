"""Row-level security, as migrations set it up: default deny, forced on the owner of the tables too.

A transaction says for whom it works in `netra.scope` and its companions (`contexts.scope`); the
functions read that. What is not said is NULL, and a row whose policy is not true is not seen.
"""

from django.db import migrations

FUNCTIONS = {
    "netra_scope": ("text", "current_setting('netra.scope', true)"),
    "netra_tenant": (
        "uuid",
        "CASE WHEN current_setting('netra.scope', true) = 'user'"
        " THEN nullif(current_setting('netra.tenant_id', true), '')::uuid END",
    ),
    "netra_user": (
        "uuid",
        "CASE WHEN current_setting('netra.scope', true) = 'user'"
        " THEN nullif(current_setting('netra.user_id', true), '')::uuid END",
    ),
    "netra_manages": (
        "boolean",
        "current_setting('netra.scope', true) = 'user'"
        " AND current_setting('netra.role', true) IN ('owner', 'admin')",
    ),
    "netra_ticket": (
        "bytea",
        "CASE WHEN current_setting('netra.scope', true) = 'ticket'"
        " THEN decode(current_setting('netra.ticket', true), 'hex') END",
    ),
}

# Each call stands in a subquery, which PostgreSQL evaluates once a statement instead of once a row.
SYSTEM = "(SELECT netra_scope()) = 'system'"
EVENT_LOG = "(SELECT netra_scope()) = 'event_log'"
MINE = "user_id = (SELECT netra_user())"
MY_TENANTS = "tenant_id = (SELECT netra_tenant())"
OWN = f"{MY_TENANTS} AND {MINE}"
MANAGED = f"{MY_TENANTS} AND ({MINE} OR (SELECT netra_manages()))"


def create_functions() -> migrations.RunSQL:
    """Return the operation that makes the functions which policies call."""
    return migrations.RunSQL(
        [
            f"CREATE FUNCTION {name}() RETURNS {kind} LANGUAGE sql STABLE PARALLEL SAFE"
            f" AS $$ SELECT {body} $$"
            for name, (kind, body) in FUNCTIONS.items()
        ],
        [f"DROP FUNCTION {name}()" for name in reversed(FUNCTIONS)],
    )


def secure(table: str, **conditions: str) -> migrations.RunSQL:
    """Return the operation that secures a table: only a system scope gets at rows, and whom conditions let.

    Each condition makes a policy of its name, whose first word is the command: `all_own`, `select_mine`,
    `insert_event_log`. It holds for the rows seen and the rows written. `lock` lets rows be locked for
    sharing and changes none.
    """
    policies = add_policy(table, all_system=SYSTEM, **conditions)
    return migrations.RunSQL(
        [
            f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
            f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
            *policies.sql,
        ],
        [
            f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY",
            f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
            *(policies.reverse_sql or ()),
        ],
    )


def add_policy(table: str, **conditions: str) -> migrations.RunSQL:
    """Return the operation that lets more through to a secured table, by conditions as `secure` has them."""
    return migrations.RunSQL(
        [_policy(table, name, condition) for name, condition in conditions.items()],
        [f"DROP POLICY {name} ON {table}" for name in conditions],
    )


def _policy(table: str, name: str, condition: str) -> str:
    command = name.partition("_")[0].upper()
    clauses = {
        "SELECT": f"USING ({condition})",
        "DELETE": f"USING ({condition})",
        "INSERT": f"WITH CHECK ({condition})",
        # Locks rows against a take-over, and changes none.
        "LOCK": f"USING ({condition}) WITH CHECK (false)",
    }
    clause = clauses.get(command, f"USING ({condition}) WITH CHECK ({condition})")
    return f"CREATE POLICY {name} ON {table} FOR {'UPDATE' if command == 'LOCK' else command} {clause}"
