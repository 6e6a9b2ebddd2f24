"""Who sees which rows of the tenants, users and what the contexts record of them."""

from django.db import migrations

from contexts.row_security import (
    MANAGED,
    MINE,
    MY_TENANTS,
    OWN,
    create_functions,
    secure,
)

MY_MEMBERSHIPS = "SELECT tenant_id FROM contexts_membership WHERE user_id = (SELECT netra_user())"


class Migration(migrations.Migration):
    dependencies = [
        ("contexts", "0005_audit_is_append_only"),
        ("token_blacklist", "0013_alter_blacklistedtoken_options_and_more"),
    ]
    operations = [
        create_functions(),
        # Colleagues may see each other; only operators change who belongs where.
        secure("contexts_membership", select_mine=MINE, select_colleagues=MY_TENANTS),
        secure("contexts_tenant", select_mine=f"id = (SELECT netra_tenant()) OR id IN ({MY_MEMBERSHIPS})"),
        # A manager who deletes a colleague's dataset gives the colleague's storage back.
        secure("contexts_quotausage", all_managed=MANAGED),
        secure("contexts_contextrecord", all_own=OWN),
        secure("contexts_socketticket", all_own=MINE, all_known="digest = (SELECT netra_ticket())"),
        secure("contexts_auditentry", select_managed=MANAGED, insert_own=OWN),
        # Written by the trigger that seals entries, in a system scope of its own.
        secure("contexts_auditchain"),
        secure("contexts_auditlink"),
        secure("contexts_securityincident"),
        # Refresh tokens, kept by the package that issues them.
        secure("token_blacklist_outstandingtoken", all_own=MINE),
    ]
