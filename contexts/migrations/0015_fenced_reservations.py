"""A reservation is fenced: once a later attempt draws on it, an earlier one changes nothing any more.

The functions of `0008_quota_functions` that draw and extend are told by which attempt; NULL, as for operators
and admission, is not checked. The fence is compared under the lock of the reservation's row, which they take
anyway. Fenced, `netra_settle_quota` returns NULL, and `netra_reserve_quota` a refusal by 'fence'.
"""

from importlib import import_module

from django.db import migrations, models

# ruff: noqa: S608 - put together from constants

_BEFORE = import_module("contexts.migrations.0008_quota_functions")
_OWN = "(p_fence IS NULL OR r.fence = p_fence)"
_OTHERS = """p_fence IS NOT NULL AND EXISTS (
                SELECT FROM contexts_quotareservation r WHERE r.id = p_id AND r.tenant_id = p_tenant)"""


def _with(text: str, changes: dict[str, str]) -> str:
    """Return `text` with each of `changes` made at the one place where its key stands."""
    for old, new in changes.items():
        if text.count(old) != 1:
            raise ValueError(f"{text.count(old)} places have {old!r}.")
        text = text.replace(old, new)
    return text


RESERVE = _with(
    _BEFORE.RESERVE,
    {
        "p_extends boolean)": "p_extends boolean,\n    p_fence int DEFAULT NULL)",
        "r.user_id = p_user FOR UPDATE;\n        IF NOT FOUND THEN": f"""r.user_id = p_user AND {_OWN} FOR UPDATE;
        IF NOT FOUND THEN
            IF {_OTHERS} THEN
                refused_by := 'fence';
                RETURN NEXT;
            END IF;""",
    },
)
SETTLE = _with(
    _BEFORE.SETTLE,
    {
        "p_at timestamptz) RETURNS boolean": "p_at timestamptz,\n    p_fence int DEFAULT NULL) RETURNS boolean",
        "r.tenant_id = p_tenant FOR UPDATE": f"r.tenant_id = p_tenant AND {_OWN} FOR UPDATE",
        "r.tenant_id = p_tenant\n            RETURNING": f"r.tenant_id = p_tenant AND {_OWN}\n            RETURNING",
        "    IF NOT FOUND THEN\n": "    IF NOT FOUND THEN\n        v_is_others := " + _OTHERS + ";\n",
        "        RETURN false;": "        RETURN CASE WHEN v_is_others THEN NULL ELSE false END;",
        "    v_line record;\n": "    v_line record;\n    v_is_others boolean;\n",
    },
)

# Raises the fence, never lowers it, and gives back what earlier attempts had set aside of `p_freed`. Returns
# whether the fence is `p_fence` now.
FENCE = f"""
CREATE FUNCTION netra_fence_quota(p_id uuid, p_tenant uuid, p_fence int, p_freed text[], p_at timestamptz)
RETURNS boolean LANGUAGE plpgsql {_BEFORE.GENERIC} AS $$
DECLARE
    v_outer text := netra_enter_quotas(p_tenant);
    v_held record;
    v_line record;
BEGIN
    SELECT r.user_id, r.resources, r.window_starts, r.amounts, r.fence INTO v_held
        FROM contexts_quotareservation r WHERE r.id = p_id AND r.tenant_id = p_tenant FOR UPDATE;
    IF v_held.fence < p_fence THEN
        FOR v_line IN
            SELECT l.* FROM unnest(v_held.resources, v_held.window_starts, v_held.amounts) WITH ORDINALITY
                AS l (resource, start, amount, number)
            WHERE l.resource = ANY (p_freed) AND l.amount > 0 ORDER BY 1, 2
        LOOP
            PERFORM netra_book_quota(p_tenant, v_held.user_id, v_line.resource, v_line.start, 0,
                -v_line.amount, p_id, 'released', coalesce(p_at, clock_timestamp()));
            v_held.amounts[v_line.number] := 0;
        END LOOP;
        UPDATE contexts_quotareservation r SET fence = p_fence, amounts = v_held.amounts WHERE r.id = p_id;
    END IF;
    PERFORM set_config('netra.scope', v_outer, true);
    RETURN coalesce(v_held.fence <= p_fence, false);
END $$
"""

_REPLACED = {
    "netra_reserve_quota(uuid, uuid, uuid, text, interval, text[], numeric[], timestamptz, boolean)": RESERVE,
    "netra_settle_quota(uuid, uuid, text[], numeric[], boolean, timestamptz)": SETTLE,
}


class Migration(migrations.Migration):
    dependencies = [("contexts", "0014_open_sockets")]
    operations = [
        migrations.AddField(
            "quotareservation",
            "fence",
            models.IntegerField(
                db_default=0, help_text="The attempt at the work that may draw on it; 0 before the first."
            ),
        ),
        migrations.RunSQL(
            [*(f"DROP FUNCTION {name}" for name in _REPLACED), *_REPLACED.values(), FENCE],
            [
                "DROP FUNCTION netra_fence_quota(uuid, uuid, int, text[], timestamptz)",
                *(f"DROP FUNCTION {name[:-1]}, int)" for name in _REPLACED),
                _BEFORE.RESERVE,
                _BEFORE.SETTLE,
            ],
        ),
    ]
