"""Sign-ins that end are told to every process that listens, with the commit (`contexts.changes`).

A session is told by the SHA-256 of its key: whoever listens learns no key. Sessions and token families that
had expired are deleted without a word. Sessions are found by that digest, and many tickets by theirs.
"""

from django.db import migrations

from contexts.row_security import add_policy

DIGEST = "encode(sha256({row}session_key::bytea), 'hex')"
TELL_SESSION = f"""
CREATE FUNCTION netra_tell_session_end() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('netra_changes', jsonb_build_object('kind', 'sign_in',
        'sign_in', {DIGEST.format(row="OLD.")})::text);
    RETURN NULL;
END $$
"""
TELL = "EXECUTE FUNCTION netra_tell_change('sign_in', '', '{user}', '')"
TRIGGERS = {
    ("contexts_tokenfamily", "tell_revoked"): (
        "AFTER UPDATE ON contexts_tokenfamily FOR EACH ROW"
        " WHEN (OLD.revoked_at IS NULL AND NEW.revoked_at IS NOT NULL) " + TELL.format(user="user_id")
    ),
    ("contexts_tokenfamily", "tell_gone"): (
        "AFTER DELETE ON contexts_tokenfamily FOR EACH ROW"
        " WHEN (OLD.revoked_at IS NULL AND OLD.expires_at > now()) " + TELL.format(user="user_id")
    ),
    ("contexts_user", "tell_password"): (
        "AFTER UPDATE ON contexts_user FOR EACH ROW"
        " WHEN (OLD.password IS DISTINCT FROM NEW.password) " + TELL.format(user="id")
    ),
    ("django_session", "tell_ended"): (
        "AFTER DELETE ON django_session FOR EACH ROW WHEN (OLD.expire_date > now())"
        " EXECUTE FUNCTION netra_tell_session_end()"
    ),
}
TICKETS = """
CREATE FUNCTION netra_tickets() RETURNS bytea[] LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN current_setting('netra.scope', true) = 'ticket' THEN ARRAY(
        SELECT decode(digest, 'hex')
        FROM unnest(string_to_array(current_setting('netra.ticket', true), ',')) AS digest) END
$$
"""


class Migration(migrations.Migration):
    dependencies = [("contexts", "0012_sign_ins"), ("sessions", "0001_initial")]
    operations = [
        migrations.RunSQL(TELL_SESSION, "DROP FUNCTION netra_tell_session_end()"),
        migrations.RunSQL(
            [f"CREATE TRIGGER {name} {what}" for (_, name), what in TRIGGERS.items()],
            [f"DROP TRIGGER {name} ON {table}" for table, name in TRIGGERS],
        ),
        migrations.RunSQL(
            f"CREATE INDEX django_session_by_digest ON django_session ({DIGEST.format(row='')})",
            "DROP INDEX django_session_by_digest",
        ),
        migrations.RunSQL(TICKETS, "DROP FUNCTION netra_tickets()"),
        migrations.RunSQL(
            "DROP POLICY all_known ON contexts_socketticket",
            "CREATE POLICY all_known ON contexts_socketticket FOR ALL"
            " USING (digest = (SELECT netra_ticket())) WITH CHECK (digest = (SELECT netra_ticket()))",
        ),
        add_policy("contexts_socketticket", all_known="digest = ANY ((SELECT netra_tickets())::bytea[])"),
    ]
