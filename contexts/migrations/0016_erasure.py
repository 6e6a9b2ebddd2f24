"""What the audit says of somebody can be erased without breaking its chains.

From now on an entry is sealed over a digest of its details, salted so that nobody can guess them from it:
details and salt may go, and the seal still holds. Entries from before are sealed over their details; of an
erased one the entry that tells of the erasure keeps a digest of what is left (`contexts.audit_seals`).

What an erased member has used stays in their tenant's totals, so what of that is given back later, as the
storage of a dataset that they left, is taken from the ledger where there is no member's counter any more.
"""

from importlib import import_module

from django.db import migrations, models

_AUDIT = import_module("contexts.migrations.0005_audit_is_append_only")
_QUOTAS = import_module("contexts.migrations.0008_quota_functions")


def _with(text: str, old: str, new: str) -> str:
    """Return `text` with `new` at the one place where `old` stands, as a function to replace."""
    if text.count(old) != 1:
        raise ValueError(f"{text.count(old)} places have {old!r}.")
    return _replacing(text.replace(old, new))


def _replacing(text: str) -> str:
    return text.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")


NOTE_ENTRY = _with(
    _AUDIT.NOTE_ENTRY,
    "    RETURN NEW;",
    """    NEW.details_salt := uuid_send(gen_random_uuid());
    NEW.details_digest := sha256(NEW.details_salt || convert_to(NEW.details::text, 'UTF8'));
    NEW.erased_in := NULL;
    RETURN NEW;""",
)
SEAL_ENTRIES = _with(
    _AUDIT.SEAL_ENTRIES,
    "entry.request_id, entry.details,",
    "entry.request_id, CASE WHEN entry.details_digest IS NULL THEN entry.details"
    " ELSE to_jsonb(encode(entry.details_digest, 'hex')) END,",
)
REFUSE_CHANGE = _with(
    _AUDIT.REFUSE_CHANGE,
    "    -- Tests empty every table between them.",
    """    IF TG_OP = 'UPDATE' AND TG_TABLE_NAME = 'contexts_auditentry'
        AND current_setting('netra.audit_erasure', true) = 'on'
    THEN
        IF OLD.erased_in IS NULL AND NEW.erased_in IS NOT NULL AND NEW.details_salt IS NULL
            AND NEW.details = '{"erased": true}'
            AND to_jsonb(NEW) - ARRAY['details', 'details_salt', 'erased_in']
                = to_jsonb(OLD) - ARRAY['details', 'details_salt', 'erased_in']
        THEN
            RETURN NEW;
        END IF;
    END IF;
    -- Tests empty every table between them.""",
)
CORRECT = _with(
    _QUOTAS.CORRECT,
    "    IF v_less > 0 THEN",
    """    IF NOT FOUND AND NOT EXISTS (SELECT FROM contexts_user WHERE id = p_user) THEN
        -- Of an erased member there is only the ledger; the tenant's counter still has what they left.
        PERFORM FROM contexts_tenantquotausage c
            WHERE c.tenant_id = p_tenant AND c.resource = p_resource AND c.window_start = p_start FOR UPDATE;
        SELECT least(sum(e.used), p_less) INTO v_less FROM contexts_quotaentry e
            WHERE e.tenant_id = p_tenant AND e.user_id = p_user AND e.resource = p_resource
                AND e.window_start = p_start;
        IF v_less > 0 THEN
            UPDATE contexts_tenantquotausage c
                SET used = c.used - v_less, updated_at = coalesce(p_at, clock_timestamp())
                WHERE c.tenant_id = p_tenant AND c.resource = p_resource AND c.window_start = p_start;
            INSERT INTO contexts_quotaentry
                (created_at, tenant_id, user_id, resource, window_start, kind, used, reserved)
                VALUES (coalesce(p_at, clock_timestamp()), p_tenant, p_user, p_resource, p_start, p_kind,
                    -v_less, 0);
        END IF;
    ELSIF v_less > 0 THEN""",
)


class Migration(migrations.Migration):
    dependencies = [("contexts", "0015_fenced_reservations")]
    operations = [
        migrations.AddField(
            "auditentry",
            "details_salt",
            models.BinaryField(
                editable=False,
                help_text="Random, so that nobody guesses what a digest is of; gone with what was erased.",
                max_length=16,
                null=True,
            ),
        ),
        migrations.AddField(
            "auditentry",
            "details_digest",
            models.BinaryField(
                editable=False,
                help_text="SHA-256 of salt and details, which the seal is over; empty for the oldest entries.",
                max_length=32,
                null=True,
            ),
        ),
        migrations.AddField(
            "auditentry",
            "erased_in",
            models.BigIntegerField(
                editable=False, help_text="The entry that tells of the details' erasure.", null=True
            ),
        ),
        migrations.RunSQL([_AUDIT.PIN_SEARCH_PATH], []),
        migrations.RunSQL(
            [NOTE_ENTRY, SEAL_ENTRIES, REFUSE_CHANGE],
            [
                _AUDIT.PIN_SEARCH_PATH,
                *map(_replacing, (_AUDIT.NOTE_ENTRY, _AUDIT.SEAL_ENTRIES, _AUDIT.REFUSE_CHANGE)),
            ],
        ),
        migrations.RunSQL([CORRECT], [_replacing(_QUOTAS.CORRECT)]),
    ]
