"""Who sees which quotas, and a ledger for what was used before there was one."""

from django.db import migrations

from contexts.row_security import MANAGED, MY_TENANTS, OWN, add_policy, secure

# What was reserved belonged to runs whose reservations are not known any more.
OPEN_LEDGER = """
INSERT INTO contexts_quotaentry (created_at, tenant_id, user_id, resource, window_start, kind, used, reserved)
    SELECT now(), tenant_id, user_id, resource, window_start, 'used', used, 0
    FROM contexts_quotausage WHERE used > 0
"""
FREE_RESERVED = "UPDATE contexts_quotausage SET reserved = 0 WHERE reserved > 0"
COUNT_TENANTS = """
INSERT INTO contexts_tenantquotausage (tenant_id, resource, window_start, used, reserved)
    SELECT tenant_id, resource, window_start, sum(used), 0 FROM contexts_quotausage
    GROUP BY tenant_id, resource, window_start
"""


def weigh_tiers(apps, schema_editor):
    tier_model = apps.get_model("contexts", "Tier")
    for slug, weight in {"early": 2, "mid": 4, "enterprise": 8}.items():
        tier_model.objects.filter(slug=slug).update(weight=weight)


class Migration(migrations.Migration):
    dependencies = [("contexts", "0008_quota_functions")]
    operations = [
        migrations.RunSQL(["SELECT set_config('netra.scope', 'system', true)"], []),
        migrations.RunPython(weigh_tiers, migrations.RunPython.noop),
        migrations.RunSQL([OPEN_LEDGER, FREE_RESERVED, COUNT_TENANTS], []),
        # The quota functions alone write. Members see where they and the whole tenant stand.
        migrations.RunSQL(
            "DROP POLICY all_managed ON contexts_quotausage",
            f"CREATE POLICY all_managed ON contexts_quotausage USING ({MANAGED}) WITH CHECK ({MANAGED})",
        ),
        add_policy("contexts_quotausage", select_managed=MANAGED),
        secure("contexts_tenantquotausage", select_tenant=MY_TENANTS),
        secure("contexts_quotareservation", select_own=OWN),
        secure("contexts_quotaentry", select_managed=MANAGED),
        secure("contexts_quotaoverride", select_tenant=MY_TENANTS),
        secure("contexts_quotagrant", select_tenant=MY_TENANTS),
    ]
