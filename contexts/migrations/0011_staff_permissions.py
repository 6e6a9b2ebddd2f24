"""What staff may be allowed beyond their own tenants."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("contexts", "0010_tell_changes")]
    operations = [
        migrations.AlterModelOptions(
            name="tenant",
            options={
                "ordering": ("name",),
                "permissions": (
                    ("see_every_tenant", "Can see every tenant's rows"),
                    ("move_tenant", "Can put a tenant on another tier"),
                    ("reset_quotas", "Can reset what a member has used"),
                ),
            },
        ),
    ]
